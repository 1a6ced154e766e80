"""Processes wait for one another as long as a download or an evaluation may take."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
from datetime import timedelta
import torch
from pathlib import Path

import pytest
from rlpath.posttrain import experiment
from rlpath.posttrain.tuning_settings import TuningSettings
import sys

given = {}
plain = torch.distributed.init_process_group
torch.distributed.init_process_group = lambda *a, **k: (given.update(k), plain(*a, **k))[1]
experiment.resolve_model = lambda name: sys.exit(f"TIMEOUT {given['timeout']}")
experiment.start_run("sft", TuningSettings(root=Path(sys.argv[1])), [])
"""


@pytest.mark.needs("train")
def test_the_process_group_is_made_with_the_long_timeout(tmp_path: Path) -> None:
    """By whoever makes it first: a timeout among the trainer's arguments comes too late."""
    (tmp_path / "script.py").write_text(SCRIPT)
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "1"]
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    command = [sys.executable, *torchrun, str(tmp_path / "script.py"), str(tmp_path / "runs")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)

    assert "TIMEOUT 6:00:00" in done.stderr, done.stderr[-2000:]
