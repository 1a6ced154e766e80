"""The result's folder before the first question: held alone, of this suite and version, with manifest and plan."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from rlpath.core.errors import InputError
from rlpath.core.files import Busy, disk_errors, lock, read_json, write_atomic
from rlpath.core.types import ProblemSet
from rlpath.evals.suite.entrants import ModelEntry
from rlpath.evals.suite.harness import Plan
from rlpath.evals.suite.result import FILE, read_result
from rlpath.evals.suite.task import Task, Template
from rlpath.evals.suite.verdict import Declared
from rlpath.runs.provenance import describe_data, manifest

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class SuiteProtocol:
    """What is asked of everybody: each task under one template, with the problems of the plan."""

    jobs: tuple[tuple[Task, Template], ...]
    problems: Mapping[str, ProblemSet]
    plan: Plan


def hold_folder(folder: Path) -> IO[str]:
    """Hold the folder, made where it is missing, until the returned file is closed.

    Raises InputError where another process holds it, it cannot be written, or holds a result of another version.
    """
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            held = lock(folder / ".lock")
        except Busy as holder:
            remedy = "wait for it or choose another --out"
            raise InputError(f"process {holder} is evaluating into {folder}: {remedy}") from None
    if (folder / FILE).exists():
        read_result(folder)
    return held


def start_suite(
    folder: Path,
    entered: Sequence[ModelEntry],
    protocol: SuiteProtocol,
    family: Sequence[Declared],
    prereg: Path | None,
) -> dict[str, Any]:
    """Write manifest.json and return it. Of several starts the first one's preregistration counts, or that it had none.

    Raises InputError where the folder is another suite's, or the preregistration cannot be read.
    """
    config = {
        "models": [subject.spec for one in entered if one.entrant.role == "model" for subject in one.subjects],
        "baseline": [subject.spec for one in entered if one.entrant.role == "baseline" for subject in one.subjects],
        "plan": asdict(protocol.plan),
        "templates": {task.name: template.name for task, template in protocol.jobs},
    }
    facts = manifest(sys.argv, config, list(protocol.problems.values()), prereg=prereg)
    facts["tasks"] = [
        {"task": task.name, **describe_data(protocol.problems[task.name]), "template": asdict(template)}
        for task, template in protocol.jobs
    ]
    facts["family"] = [str(one) for one in family]
    path = folder / MANIFEST
    if path.exists():
        first = read_json(path)
        _same(first, config, folder)
        facts |= {"started": first["started"], "prereg": first["prereg"], "resumed": facts["started"]}
    write_atomic(path, json.dumps(facts, indent=1, ensure_ascii=False, default=str) + "\n")
    return facts


def _same(first: Mapping[str, Any], config: Mapping[str, Any], folder: Path) -> None:
    """Raise InputError where the folder was begun with another configuration."""
    now = json.loads(json.dumps(config))
    other = [text for name in now for text in _differences(name, first.get("config", {}).get(name), now[name])]
    if other:
        raise InputError(f"{folder} holds a suite of other {'; '.join(other)}: choose another --out, or remove it")


def _differences(name: str, before: Any, now: Any) -> list[str]:
    """Which fields differ, and how: of an object each by its own name."""
    if isinstance(before, dict) and isinstance(now, dict):
        return [
            text
            for key in dict.fromkeys([*before, *now])
            for text in _differences(f"{name}.{key}", before.get(key), now.get(key))
        ]
    return [] if before == now else [f"{name} ({before!r} there, {now!r} now)"]
