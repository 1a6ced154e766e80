"""Processes, threads and allocator of a run that trains on a CPU."""

from __future__ import annotations

import argparse
import ctypes
import os
import platform
import sys

import psutil
import torch

from rlpath.core.errors import InputError
from rlpath.runs.hardware import cores

M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
MUCH = 0.25
"""Share of the machine's memory from which a process returns what it has freed."""


WORLD_SIZES = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")


def start_all_processes() -> None:
    """Become the N processes of `accelerate launch --cpu --num_processes N`, which without MPI starts this one alone.

    Accelerate says nothing about it and does not hand N on, so N is read from the launcher's command line and torchrun
    takes this process's place. Raises `InputError` where N is not found there.
    """
    one_of_several = os.environ.get("ACCELERATE_USE_CPU", "").lower() == "true" and "MASTER_PORT" in os.environ
    if not one_of_several or any(name in os.environ for name in WORLD_SIZES):
        return
    launcher = psutil.Process().parent()
    count = processes_asked([] if launcher is None else launcher.cmdline())
    if count is None:
        remedy = "use `torchrun --nproc_per_node N` instead"
        raise InputError(f"`accelerate launch` starts only one process on a CPU without --num_processes N: {remedy}")
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(count)]
    os.execv(sys.executable, [sys.executable, *torchrun, *sys.argv])


def processes_asked(words: list[str]) -> int | None:
    """The number after `--num_processes` in a command line of `accelerate launch`."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--num_processes", "--num-processes", type=int)
    return parser.parse_known_args(words)[0].num_processes


def prepare_cpu(local_processes: int = 1) -> dict[str, int | bool]:
    """Share the cores among this machine's processes and keep freed memory; returns what was set, for the manifest.

    Threads that wait for others sleep instead of spinning (`rlpath/__init__.py` asks for it before torch is loaded).
    Two busy processes with torch's default thread count each run ten times slower than with one thread each. By
    default glibc also returns every large tensor to the system when it is freed and faults its pages in again at the
    next step; keeping them saves a fifth of a training step. `OMP_NUM_THREADS` wins over the share.
    """
    threads = int(os.environ.get("OMP_NUM_THREADS") or max(1, cores() // local_processes))
    torch.set_num_threads(threads)
    waits = os.environ.get("OMP_WAIT_POLICY", "").lower() == "passive"
    return {"threads": threads, "keeps_freed_memory": _keep_freed_memory(), "threads_wait_passively": waits}


def _keep_freed_memory() -> bool:
    """Raise glibc's thresholds for mapping and trimming; False where the C library is another one."""
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    return bool(libc.mallopt(M_MMAP_THRESHOLD, 1 << 30)) and bool(libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1))


def return_freed_memory() -> bool:
    """Give freed memory back to the system where this process fills much of it: between phases and micro-batches.

    What is freed is kept (`prepare_cpu`), but in pieces of the sizes there were, in which the next phase finds little
    that fits. Returns whether anything was done: not where the process holds less than `MUCH` of the machine's
    memory, nor without glibc.
    """
    if platform.libc_ver()[0] != "glibc" or psutil.Process().memory_info().rss < MUCH * psutil.virtual_memory().total:
        return False
    return bool(ctypes.CDLL(None).malloc_trim(0))
