"""What a test run leaves out is announced, and an extra that was asked for must be there."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests import left_out

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_every_extra_can_be_recognized() -> None:
    """Each extra of pyproject.toml that brings packages to the code has a row in the table."""
    assert set(left_out.EXTRAS) == set(PROJECT["optional-dependencies"]) - {"dev", "test"}


def test_the_metadata_gives_ranges() -> None:
    """No requirement of the library names one exact version; pins live in constraints.txt."""
    asked = [*PROJECT["dependencies"], *(one for each in PROJECT["optional-dependencies"].values() for one in each)]

    assert [one for one in asked if "==" in one] == []


def test_a_missing_extra_is_named_only_where_it_is_to_blame(monkeypatch: pytest.MonkeyPatch) -> None:
    """`torch.nn` is missing for want of `train`; a package of no extra is nobody's excuse."""
    monkeypatch.setattr(left_out, "installed", lambda package: False)

    assert left_out.missing_extra("torch.nn") == "train"
    assert left_out.missing_extra("nonsense") is None


def test_rooms_of_the_light_install_are_recognized() -> None:
    """A verifier's test may not be left out unannounced; a test of deep RL may."""
    assert left_out.is_light(ROOT / "tests/rewards/test_number.py")
    assert not left_out.is_light(ROOT / "tests/deep/test_a2c.py")


def test_a_run_says_what_it_left_out(tmp_path: Path) -> None:
    """The summary counts skips by reason."""
    (tmp_path / "test_one.py").write_text("import pytest\n@pytest.mark.skip(reason='no GPU')\ndef test_a(): ...\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.left_out", "--rootdir", str(tmp_path), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)

    assert "1 test: no GPU" in done.stdout
