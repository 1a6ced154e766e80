"""Two processes train as one: the same losses, gradients and weights, whichever of them has the completions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import json, sys
from pathlib import Path
import torch
from test_loop import Case, differences, ours

model, folder = Path(sys.argv[1]), Path(sys.argv[2])
torch.distributed.init_process_group("gloo")
golds = ("varied", "partly", "equal", "equal")
everything = {"beta": 0.3, "epochs": 2, "micro_batch": 1}
cases = {
    "grpo": {"loss": "grpo", "micro_batch": 1},
    "dapo": {"loss": "dapo", "correction": "token_truncate", **everything},
    "bnpo": {"loss": "bnpo", "advantage": "batch", **everything},
    # Whitened, so that many gradients are near zero, where Adam enlarges rounding: as many updates, smaller ones.
    "reinforce_pp": {"loss": "reinforce_pp", "kl_estimator": "k1", **everything, "learning_rate": 1e-4},
}
facts = {}
for name, settings in cases.items():
    for lora in (False, True):
        trace = ours(Case(settings, golds=golds, lora=lora), model)
        if torch.distributed.get_rank():
            continue
        path = folder / f"{name}-{lora}.pt"
        if torch.distributed.get_world_size() == 1:
            torch.save(trace, path)
            continue
        one = torch.load(path, weights_only=False)
        gaps = [
            abs(mine[key] - theirs[key])
            for mine, theirs in zip(trace.metrics, one.metrics)
            for key in theirs
            if not key.startswith("seconds/")
        ]
        facts[path.stem] = {"wrong": differences(trace, one), "metrics": max(gaps), "compared": len(gaps)}
if torch.distributed.get_rank() == 0:
    print("FACTS " + json.dumps(facts), flush=True)
torch.distributed.destroy_process_group()
"""


def test_two_processes_train_as_one(tiny_folder: Path, tmp_path: Path) -> None:
    """One of the two has no completion with a gradient and still takes part; micro-batches differ in number."""
    here = Path(__file__).parent
    (tmp_path / "script.py").write_text(SCRIPT)
    facts = {}
    for count in (1, 2):
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(count)]
        done = subprocess.run(
            [*torchrun, str(tmp_path / "script.py"), str(tiny_folder), str(tmp_path)],
            env={**os.environ, "PYTHONPATH": f"{here.parents[1]}:{here}", "OMP_NUM_THREADS": "1"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        facts = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("FACTS "))[6:])

    assert len(facts) == 8
    for name, found in facts.items():
        assert found["wrong"] == [], name
        assert found["compared"] > 20
        assert found["metrics"] < 1e-3, name
