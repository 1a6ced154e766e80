"""Several processes share one batch of episodes: the same episodes as one process plays, in every turn."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("transformers")
pytestmark = pytest.mark.needs("train")

SCRIPT = """
import json, sys
from pathlib import Path
from accelerate import PartialState
from rlpath.core.types import Decoding
from rlpath.envs.turns.calls import EpisodeLimits
from rlpath.envs.turns.problems import environment_problems
from rlpath.models import tool_chat
from rlpath.models.chat import CHATML_TOOLS
from rlpath.models.rollouts import load_sampler
from rlpath.models.shared import asked_by_main

class Listening:
    def reset(self, words: str, **row) -> str:
        return f"Say {words}."
    def say(self, number: int) -> str:
        '''Say a number.

        Args:
            number: any
        '''
        return f"you said {number}"
    def get_reward(self) -> float:
        return 0.0

# A random model writes no calls: a turn counts as one by its first token, so that some episodes end and others go on.
tool_chat.ToolChat.read = lambda self, ids: [tool_chat.ToolCall("say", {"number": ids[0]})] * (ids[0] % 3 > 0)
state = PartialState(cpu=True)
rows = [{"words": word} for word in ("one", "two", "three")]
problems = environment_problems("listening", Listening, rows, limits=EpisodeLimits(turns=3))
sampler = load_sampler("hf", Path(sys.argv[1]), max_length=700, dtype="float32")
sampler.tokenizer.chat_template = CHATML_TOOLS
calls = []
own = sampler.generate
sampler.generate = lambda prompts, *a, **k: calls.append(len(prompts)) or own(prompts, *a, **k)
with asked_by_main(sampler) as everyone:
    if everyone is not None:
        groups = problems.environment.play(everyone, problems.problems, Decoding(600, n=2, seed=3))
        print("FOUND " + json.dumps([[[list(t.token_ids) for t in c.episode.turns] for c in g] for g in groups]))
print(f"CALLS {state.process_index} {calls}")
state.wait_for_everyone()
"""


def episodes(folder: Path, script: Path, *launcher: str) -> tuple[list[list[list[list[int]]]], list[str]]:
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    command = [sys.executable, *launcher, str(script), str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = re.search(r"FOUND (.*\])", done.stdout)
    assert found is not None
    return json.loads(found[1].partition("CALLS")[0]), sorted(re.findall(r"CALLS \d \[[\d, ]*\]", done.stdout))


def test_two_processes_play_what_one_does(tiny_folder: Path, tmp_path: Path) -> None:
    """Three groups of two episodes are shared; the second process helps in every turn; all tokens are the same."""
    (tmp_path / "script.py").write_text(SCRIPT)
    alone, _ = episodes(tiny_folder, tmp_path / "script.py")
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    together, calls = episodes(tiny_folder, tmp_path / "script.py", *torchrun)

    assert together == alone
    assert max(len(turns) for group in alone for turns in group) > 2
    assert len({json.dumps(turns) for group in alone for turns in group}) == 6
    assert len(calls) == 2
    assert all(len(re.findall(r"\d+", line)) > 2 for line in calls)
