"""Several processes share one evaluation: the same completions and episodes as one process, in the same order."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

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

# A random model writes no calls: a turn is one or not by its first token, so that some episodes end and others go on.
tool_chat.ToolChat.read = lambda self, ids: [tool_chat.ToolCall("say", {"number": ids[0]})] * (ids[0] % 3 > 0)
rows = [{"words": word} for word in ("one", "two", "three")]
problems = environment_problems("listening", Listening, rows, limits=EpisodeLimits(turns=3))

state = PartialState(cpu=True)
sampler = load_sampler("hf", Path(sys.argv[1]), max_length=1200, dtype="float32")
prompts = [sampler.encode(f"{i} + 1?") for i in range(5)]
calls = []
own = sampler.generate
sampler.generate = lambda prompts, *a, **k: calls.append(len(prompts)) or own(prompts, *a, **k)
with asked_by_main(sampler) as everyone:
    if everyone is not None:
        groups = [everyone.generate(part, Decoding(6, n=2, seed=3)) for part in (prompts, prompts[:1])]
        print("FOUND " + json.dumps([[[c.token_ids for c in g] for g in part] for part in groups]))
        sampler.tokenizer.chat_template = CHATML_TOOLS
        played = problems.environment.play(everyone, problems.problems, Decoding(350, n=3, seed=3))
        print("PLAYED " + json.dumps([[t.token_ids for t in c.episode.turns] for g in played for c in g]) + " END")
print(f"CALLS {state.process_index} {calls[: 2 - state.process_index]}")
state.wait_for_everyone()
"""


Tokens = list[list[list[Any]]]


def answers(folder: Path, script: Path, *launcher: str) -> tuple[list[Tokens], Tokens, list[str]]:
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    command = [sys.executable, *launcher, str(script), str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = re.search(r"FOUND (.*\])", done.stdout)
    played = re.search(r"PLAYED (.*) END", done.stdout)
    assert found is not None
    assert played is not None
    # Both processes write to one pipe: the end of a line may come after the other's line.
    calls = sorted(re.findall(r"CALLS \d \[[\d, ]*\]", done.stdout))
    return json.loads(found[1].partition("CALLS")[0]), json.loads(played[1]), calls


def test_two_processes_complete_what_one_does(tiny_folder: Path, tmp_path: Path) -> None:
    """Five prompts are three and two; a call of one prompt leaves the second process idle; draws are the same.

    So are all turns of nine episodes, of which some end after the first turn and others go on.
    """
    (tmp_path / "script.py").write_text(SCRIPT)
    alone, played_alone, _ = answers(tiny_folder, tmp_path / "script.py")
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    together, played, calls = answers(tiny_folder, tmp_path / "script.py", *torchrun)

    assert together == alone
    assert played == played_alone
    assert len({len(turns) for turns in played}) > 1
    assert calls == ["CALLS 0 [3, 1]", "CALLS 1 [2]"]
