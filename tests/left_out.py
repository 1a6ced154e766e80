"""Says at the end of a test run what was left out and why, and lets nothing be left out by accident.

A test that meets a package of an extra which is not installed is skipped with the name of that extra. In the rooms of
the light install (`LIGHT`) that must be said in the test (`pytest.mark.needs("train")` or `pytest.importorskip`):
there, an import that fails unannounced stays a failure. `--with-extras a,b` refuses to start where one is missing.
"""

from __future__ import annotations

import importlib.util
import re
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

# The packages by which each extra of pyproject.toml is recognized; the first decides whether it is installed.
EXTRAS: dict[str, tuple[str, ...]] = {
    "train": (
        *("trl", "torch", "transformers", "peft", "accelerate", "datasets", "tokenizers", "safetensors"),
        *("huggingface_hub", "reasoning_gym", "bm25s", "psutil", "tensorboard", "gguf", "sentencepiece", "pydantic"),
    ),
    "math": ("math_verify",),
    "sb3": ("stable_baselines3", "Box2D"),
    "envs": ("minatar", "minigrid", "mujoco", "ale_py", "imageio_ffmpeg", "minari", "h5py"),
    "ray": ("ray",),
    "search": ("optuna",),
    "contamination": ("datasketch",),
    "bench": ("lm_eval",),
    "vllm": ("vllm",),
    "verifiers": ("verifiers",),
    "openenv": ("openenv",),
    "docs": ("mkdocs", "material", "mkdocstrings"),
    "notebooks": ("marimo",),
}
EXTRA_OF = {package: extra for extra, packages in EXTRAS.items() for package in packages}
LIGHT = ("core", "report", "rewards", "envs", "tabular", "house")
TESTS = Path(__file__).parent


def installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def missing_extra(package: str) -> str | None:
    """The extra that would bring a package which cannot be imported; None where no extra is to blame."""
    top = package.split(".")[0]
    return EXTRA_OF.get(top) if top in EXTRA_OF and not installed(top) else None


def reason(extra: str) -> str:
    return f"extra `{extra}` is not installed"


def is_light(path: Path) -> bool:
    """Whether a test file belongs to a room that the light install holds."""
    return path.is_relative_to(TESTS) and path.relative_to(TESTS).parts[0] in LIGHT


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--with-extras", default="", help="extras that must be installed, separated by commas")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(*extras): skipped where one of these extras is not installed")
    asked = [extra for extra in str(config.getoption("--with-extras") or "").split(",") if extra in EXTRAS]
    if missing := [extra for extra in asked if not installed(EXTRAS[extra][0])]:
        raise pytest.UsageError(f"not installed: {', '.join(missing)}; run `make setup`")


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs"):
        for extra in mark.args:
            if not installed(EXTRAS[extra][0]):
                pytest.skip(reason(extra))


def excused(report: Any, package: str, path: Path) -> None:
    """Turn a report that failed for want of an extra's package into a skipped one."""
    if not is_light(path) and (extra := missing_extra(package)):
        report.outcome = "skipped"
        report.longrepr = (str(path), 0, f"Skipped: {reason(extra)}")


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, Any, Any]:
    report = yield
    if report.failed and (names := re.findall(r"No module named '([\w.]+)'", str(report.longrepr))):
        excused(report, names[-1], collector.path)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    report = yield
    error = call.excinfo.value if call.excinfo else None
    if report.failed and isinstance(error, ModuleNotFoundError) and error.name:
        excused(report, error.name, item.path)
    return report


def why(report: Any) -> str:
    """The reason of a skipped report, in the same words however the skip came about."""
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    text = text.removeprefix("Skipped: ")
    if (match := re.match(r"could not import '([\w.]+)'", text)) and (extra := missing_extra(match[1])):
        return reason(extra)
    return text


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """One line a reason: how many tests (or whole files) were left out."""
    stats = terminalreporter.stats
    files, tests = Counter[str](), Counter[str]()
    for report in stats.get("skipped", []):
        (tests if isinstance(report, pytest.TestReport) else files)[why(report)] += 1
    deselected = len(stats.get("deselected", []))
    if not files and not tests and not deselected:
        return
    terminalreporter.section("left out, and why")
    for text in sorted({*files, *tests}):
        kinds = ((tests[text], "test"), (files[text], "whole file"))
        counts = " and ".join(f"{n} {kind}{'s' * (n != 1)}" for n, kind in kinds if n)
        terminalreporter.line(f"{counts}: {text}")
    if deselected:
        terminalreporter.line(f"{deselected} tests: deselected (`make test-slow` runs those marked slow)")
