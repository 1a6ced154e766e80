"""Threads and allocator of a process that trains on a CPU."""

from __future__ import annotations

import ctypes
import os
import platform

import torch

from rlpath.hardware import cores

M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3


def prepare_cpu(local_processes: int = 1) -> dict[str, int | bool]:
    """Share the cores among this machine's processes and keep freed memory; returns what was set, for the manifest.

    Two busy processes with torch's default thread count each run ten times slower than with one thread each. By
    default glibc also returns every large tensor to the system when it is freed and faults its pages in again at the
    next step; keeping them saves a fifth of a training step. `OMP_NUM_THREADS` wins over the share.
    """
    threads = int(os.environ.get("OMP_NUM_THREADS") or max(1, cores() // local_processes))
    torch.set_num_threads(threads)
    return {"threads": threads, "keeps_freed_memory": _keep_freed_memory()}


def _keep_freed_memory() -> bool:
    """Raise glibc's thresholds for mapping and trimming; False where the C library is another one."""
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    return bool(libc.mallopt(M_MMAP_THRESHOLD, 1 << 30)) and bool(libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1))
