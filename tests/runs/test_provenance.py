"""The manifest names code, machine, data and weights, and changes when one of them does."""

import hashlib
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rlpath.core.errors import InputError
from rlpath.core.types import Problem, ProblemSet, Status, Verdict
from rlpath.runs import hardware
from rlpath.runs.prereg import prereg_text
from rlpath.runs.provenance import manifest, package_versions, revision


def verifier(completion: str, gold: str, *, question: str | None = None, truncated: bool = False) -> Verdict:
    return Verdict.of(Status.CORRECT if completion == gold else Status.WRONG)


PROBLEMS = ProblemSet("sums", "train", (Problem("0", "1+1?", "2"), Problem("1", "1+2?", "3")), verifier, "made here")


def git(folder: Path, *words: str) -> None:
    identity = ["-c", "user.name=nobody", "-c", "user.email=nobody@example.org"]
    subprocess.run(["git", "-C", str(folder), *identity, *words], check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "train.py").write_text("print(1)\n")
    (tmp_path / ".gitignore").write_text("ignored/\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "start")
    return tmp_path


def test_the_manifest_is_json_and_holds_every_part(tmp_path: Path) -> None:
    """A manifest can be written as it stands and names data, weights, hardware and versions."""
    (tmp_path / "model.safetensors").write_bytes(b"weights")

    found = json.loads(json.dumps(manifest(["train.py"], {"lr": 1e-4}, [PROBLEMS], "tiny", tmp_path)))

    assert found["config"] == {"lr": 1e-4}
    assert found["data"] == [
        {"name": "sums", "split": "train", "source": "made here", "n": 2, "sha256": PROBLEMS.sha256}
    ]
    assert found["model"]["sha256"] == {"model.safetensors": hashlib.sha256(b"weights").hexdigest()}
    assert found["hardware"]["cores"] >= 1 and found["hardware"]["memory"] > 2**28
    assert found["packages"]["numpy"] == package_versions(["numpy"])["numpy"]
    assert found["started"].endswith("+00:00")


def test_a_changed_file_makes_the_checkout_dirty(checkout: Path) -> None:
    """The commit is recorded, and an edit after it shows."""
    clean = revision(checkout / "train.py")
    (checkout / "train.py").write_text("print(2)\n")
    edited = revision(checkout / "train.py")

    assert clean is not None and len(clean["commit"]) == 40 and clean["dirty"] is False
    assert edited == {"commit": clean["commit"], "dirty": True}


def test_an_ignored_file_has_no_revision(checkout: Path) -> None:
    """A package in a virtual environment inside somebody's checkout is not credited with its commit."""
    (checkout / "ignored").mkdir()
    (checkout / "ignored" / "package.py").write_text("")

    assert revision(checkout / "ignored" / "package.py") is None


def test_outside_a_checkout_there_is_no_revision(tmp_path: Path) -> None:
    """No git, no claim."""
    assert revision(tmp_path) is None


def test_a_preregistration_beside_the_script_is_recorded(tmp_path: Path) -> None:
    """A prereg.toml next to the recipe enters the manifest unasked: hash, time and text; its own one goes first."""
    text = prereg_text("H", models=["m"], baseline="b", tasks=["t"], metric="pass@1", n=3, seeds=[0])
    (tmp_path / "train.py").write_text("")
    (tmp_path / "prereg.toml").write_text(text)

    found = manifest([str(tmp_path / "train.py")], {})["prereg"]

    assert abs(datetime.fromisoformat(found.pop("time")) - datetime.now(UTC)) < timedelta(minutes=1)
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    assert found == {"path": str(tmp_path / "prereg.toml"), "sha256": sha256, "text": text}
    (tmp_path / "train.prereg.toml").write_text(f"{text}\n")
    own = manifest([str(tmp_path / "train.py")], {})["prereg"]
    assert own["path"] == str(tmp_path / "train.prereg.toml")
    (tmp_path / "train.prereg.toml").unlink()
    (tmp_path / "prereg.toml").write_text("n = 3\n")
    with pytest.raises(InputError, match=r"prereg\.toml needs hypothesis"):
        manifest([str(tmp_path / "train.py")], {})


def test_a_named_preregistration_must_exist(tmp_path: Path) -> None:
    """A mistyped path is refused rather than left out."""
    with pytest.raises(InputError, match=r"absent\.toml does not exist"):
        manifest(["train.py"], {}, prereg=tmp_path / "absent.toml")


def test_missing_packages_are_left_out() -> None:
    """Versions are those installed, no placeholder for the rest."""
    assert package_versions(["numpy", "no-such-package-anywhere"]).keys() == {"numpy"}


def test_the_manifest_imports_no_torch() -> None:
    """Commands that record where a number comes from stay fast."""
    code = "import sys; from rlpath.runs.provenance import manifest; manifest(['x'], {}); print('torch' in sys.modules)"

    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"


def test_container_limits_are_respected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A control group of half a core and 1 GiB counts as one core and 1 GiB, whatever the machine has."""
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    (tmp_path / "memory.max").write_text(f"{2**30}\n")
    monkeypatch.setattr(hardware, "_CGROUP", tmp_path)

    assert hardware.cores() == 1
    assert hardware.memory() == 2**30


def test_visible_devices_choose_among_the_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA_VISIBLE_DEVICES hides GPUs from the manifest as it does from torch."""
    two = [hardware.Gpu("first", 24 * hardware.GIB), hardware.Gpu("second", 80 * hardware.GIB)]
    monkeypatch.setattr(hardware, "_nvidia_smi", lambda: two)
    monkeypatch.delitem(sys.modules, "torch", raising=False)

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert hardware.gpus() == tuple(two)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert hardware.gpus() == (two[1],)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert hardware.gpus() == ()
