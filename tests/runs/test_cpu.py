"""What a process that trains on a CPU sets, and how several come to be."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from types import SimpleNamespace

import psutil
import pytest
import torch

from rlpath.core.errors import InputError
from rlpath.runs import cpu
from rlpath.runs.hardware import cores


class Replaced(Exception):
    """Stands for the program that would have taken this one's place."""


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """As accelerate starts a single process when several were asked for."""

    def replace(program: str, words: list[str]) -> None:
        raise Replaced(*words[1:])

    for name in cpu.WORLD_SIZES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ACCELERATE_USE_CPU", "True")
    monkeypatch.setenv("MASTER_PORT", "29500")
    monkeypatch.setattr("os.execv", replace)
    monkeypatch.setattr(sys, "argv", ["recipe.py", "--smoke"])
    return monkeypatch


def launched_by(patch: pytest.MonkeyPatch, command: str) -> None:
    parent = SimpleNamespace(cmdline=command.split)
    patch.setattr(psutil, "Process", lambda: SimpleNamespace(parent=lambda: parent))


@pytest.mark.parametrize("flag", ["--num_processes 2", "--num_processes=2", "--num-processes 2"])
def test_the_processes_accelerate_leaves_out_are_started(started: pytest.MonkeyPatch, flag: str) -> None:
    """torchrun with the same number takes this process's place, with the recipe's own flags."""
    launched_by(started, f"python accelerate launch {flag} --cpu recipe.py --smoke")

    with pytest.raises(Replaced) as replaced:
        cpu.start_all_processes()

    words = "-m torch.distributed.run --standalone --nproc_per_node 2 recipe.py --smoke"
    assert replaced.value.args == tuple(words.split())


def test_an_unknown_number_is_refused(started: pytest.MonkeyPatch) -> None:
    """Where the number came from accelerate's config file, one process must not pass for several."""
    launched_by(started, "python accelerate launch --cpu recipe.py --smoke")
    with pytest.raises(InputError, match="only one process on a CPU"):
        cpu.start_all_processes()


@pytest.mark.parametrize("name", ["ACCELERATE_USE_CPU", "MASTER_PORT"])
def test_a_single_process_goes_on(started: pytest.MonkeyPatch, name: str) -> None:
    """Plain python, and `accelerate launch` of one process."""
    started.delenv(name)
    cpu.start_all_processes()


@pytest.mark.parametrize("name", cpu.WORLD_SIZES)
def test_one_of_several_goes_on(started: pytest.MonkeyPatch, name: str) -> None:
    """A process that torchrun or MPI has started."""
    started.setenv(name, "2")
    cpu.start_all_processes()


def test_processes_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread a core among the machine's processes, at least one; OMP_NUM_THREADS wins."""
    before = torch.get_num_threads()
    try:
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        assert cpu.prepare_cpu()["threads"] == torch.get_num_threads() == cores()
        assert cpu.prepare_cpu(10_000)["threads"] == torch.get_num_threads() == 1
        monkeypatch.setenv("OMP_NUM_THREADS", "3")
        assert cpu.prepare_cpu(10_000)["threads"] == torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_waiting_threads_sleep_and_what_the_user_set_stays() -> None:
    """Asked for before torch reads it; with a busy process a core, spinning threads would hold each other up."""
    code = "import rlpath, sys, os; print('torch' in sys.modules, os.environ['OMP_WAIT_POLICY'])"

    def asked(**more: str) -> str:
        environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"} | more
        return subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        ).stdout

    assert asked() == "False passive\n"
    assert asked(OMP_WAIT_POLICY="active") == "False active\n"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library returns memory by itself")
def test_freed_memory_is_kept_until_it_is_much(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 400 MB freed, nearly all stays with a process that holds little of the machine, and goes where it is much."""
    cpu.prepare_cpu()
    pieces = [torch.ones(2**20) for _ in range(100)]
    last = torch.ones(2**20)
    held = psutil.Process().memory_info().rss
    pieces.clear()

    monkeypatch.setattr(cpu, "MUCH", 1.0)
    assert not cpu.return_freed_memory()
    assert psutil.Process().memory_info().rss > held - 100e6
    monkeypatch.setattr(cpu, "MUCH", 0.0)
    assert cpu.return_freed_memory()
    assert psutil.Process().memory_info().rss < held - 300e6
    assert last.sum() == 2**20
