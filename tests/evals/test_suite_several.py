"""Several processes share a suite's questions: the figures and answers of one process, each process with its part."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rlpath.cli.main import run

SCRIPT = """
import os, sys
from pathlib import Path
from rlpath.cli.main import run
from rlpath.models.hf_sampler import HFSampler

asked = []
own = HFSampler.generate
HFSampler.generate = lambda self, prompts, *a, **k: asked.append(len(prompts)) or own(self, prompts, *a, **k)
status = run(sys.argv[1:])
Path(f"asked-{os.environ['RANK']}").write_text(repr(asked))
sys.exit(status)
"""


def test_two_processes_give_the_figures_of_one(
    tmp_path: Path, digit_folder: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two gloo processes, seven sums, greedy and twice sampled: the result is one's own, and each asks its part."""
    words = ["eval", "--model", str(digit_folder), "--baseline", str(tiny_folder), "--tasks", "arithmetic"]
    words += ["--size", "7", "--samples", "2", "--max-tokens", "6", "--backend", "hf"]
    (tmp_path / "script.py").write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    environment |= {"ACCELERATE_USE_CPU": "true", "RLPATH_CACHE": str(tmp_path / "two")}
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command = [*torchrun, str(tmp_path / "script.py"), *words, "--out", str(tmp_path / "together")]
    done = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    monkeypatch.setenv("RLPATH_CACHE", str(tmp_path / "one"))
    assert run([*words, "--out", str(tmp_path / "alone")]) == 0

    alone, together = (_result(tmp_path / name) for name in ("alone", "together"))
    assert alone == together and len(alone["headlines"]) == 2
    assert [(tmp_path / f"asked-{rank}").read_text() for rank in (0, 1)] == [repr([4] * 4), repr([3] * 4)]
    assert done.stdout.count("report: ") == 1


def _result(folder: Path) -> dict[str, Any]:
    """What a suite found, and every completion."""
    found = json.loads((folder / "result.json").read_text())
    answers = {name: (folder / path).read_text() for name, path in found["answers"].items()}
    return {name: found[name] for name in ("headlines", "contrasts", "warnings")} | {"answers": answers}
