"""What this machine has: processor, cores, memory and GPUs, read without importing torch.

Containers are respected: cores and memory are the smaller of what the machine has and what the control group allows.
"""

from __future__ import annotations

import math
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

GIB = 2**30
_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Gpu:
    """One CUDA device; `memory` in bytes."""

    name: str
    memory: int


@dataclass(frozen=True, slots=True)
class Hardware:
    """One machine; `memory` is main memory in bytes."""

    cpu: str
    cores: int
    memory: int
    gpus: tuple[Gpu, ...]


def detect() -> Hardware:
    """The machine this process runs on."""
    return Hardware(cpu_name(), cores(), memory(), gpus())


def cpu_name() -> str:
    """The processor's name as the operating system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def bf16_units() -> bool:
    """Whether the processor multiplies bf16 matrices in hardware (AMX, AVX-512 BF16, Armv8.6 BF16)."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "").split()
    return bool({"amx_bf16", "avx512_bf16", "bf16"}.intersection(flags))


def cores() -> int:
    """Processor cores this process may use."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    quota = _cgroup_words("cpu.max")
    if len(quota) == 2 and quota[0] != "max":
        allowed = min(allowed, max(1, math.ceil(int(quota[0]) / int(quota[1]))))
    return allowed


def memory() -> int:
    """Main memory in bytes that this process may use."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _cgroup_words("memory.max")
    return min(total, int(limit[0])) if limit and limit[0] != "max" else total


def _cgroup_words(name: str) -> list[str]:
    file = _CGROUP / name
    return file.read_text().split() if file.is_file() else []


def gpus() -> tuple[Gpu, ...]:
    """CUDA devices this process sees: from torch where it is imported, else from `nvidia-smi`, else none.

    `nvidia-smi` ignores `CUDA_VISIBLE_DEVICES`; an index list in that variable is applied here.
    """
    torch = sys.modules.get("torch")
    if torch is not None:
        found = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
        return tuple(Gpu(device.name, device.total_memory) for device in found)
    return _visible(_nvidia_smi())


def _nvidia_smi() -> list[Gpu]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    query = [program, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    answer = subprocess.run(query, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        return []
    rows = [line.rpartition(",") for line in answer.stdout.splitlines() if "," in line]
    return [Gpu(name.strip(), int(mebibytes) * 2**20) for name, _, mebibytes in rows if mebibytes.strip().isdigit()]


def _visible(found: list[Gpu]) -> tuple[Gpu, ...]:
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is None:
        return tuple(found)
    indices = [word.strip() for word in chosen.split(",") if word.strip()]
    if not all(word.lstrip("-").isdigit() for word in indices):
        return tuple(found[: len(indices)])
    return tuple(found[int(word)] for word in indices if 0 <= int(word) < len(found))
