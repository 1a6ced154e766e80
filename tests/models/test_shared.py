"""Several processes share one evaluation: the same completions as one process draws, in the same order."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import json, sys
from pathlib import Path
from accelerate import PartialState
from rlpath.core.types import Decoding
from rlpath.models.rollouts import load_sampler
from rlpath.models.shared import asked_by_main

state = PartialState(cpu=True)
sampler = load_sampler("hf", Path(sys.argv[1]), max_length=64, dtype="float32")
prompts = [sampler.encode(f"{i} + 1?") for i in range(5)]
calls = []
own = sampler.generate
sampler.generate = lambda prompts, *a, **k: calls.append(len(prompts)) or own(prompts, *a, **k)
with asked_by_main(sampler) as everyone:
    if everyone is not None:
        groups = [everyone.generate(part, Decoding(6, n=2, seed=3)) for part in (prompts, prompts[:1])]
        print("FOUND " + json.dumps([[[c.token_ids for c in g] for g in part] for part in groups]))
print(f"CALLS {state.process_index} {calls}")
state.wait_for_everyone()
"""


def answers(folder: Path, script: Path, *launcher: str) -> tuple[list[list[list[list[int]]]], list[str]]:
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    command = [sys.executable, *launcher, str(script), str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = re.search(r"FOUND (.*\])", done.stdout)
    assert found is not None
    # Both processes write to one pipe: the end of a line may come after the other's line.
    return json.loads(found[1].partition("CALLS")[0]), sorted(re.findall(r"CALLS \d \[[\d, ]*\]", done.stdout))


def test_two_processes_complete_what_one_does(tiny_folder: Path, tmp_path: Path) -> None:
    """Five prompts are three and two; a call of one prompt leaves the second process idle; draws are the same."""
    (tmp_path / "script.py").write_text(SCRIPT)
    alone, _ = answers(tiny_folder, tmp_path / "script.py")
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    together, calls = answers(tiny_folder, tmp_path / "script.py", *torchrun)

    assert together == alone
    assert calls == ["CALLS 0 [3, 1]", "CALLS 1 [2]"]
