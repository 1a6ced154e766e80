"""An install puts one name, rlpath, into site-packages; the links in rlpath/ agree with pyproject.toml."""

import importlib.metadata
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import rlpath.envs

ROOT = Path(__file__).resolve().parents[2]
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
PACKAGE_DIR: dict[str, str] = SETUPTOOLS["package-dir"]
LINKED = sorted(name for name, folder in PACKAGE_DIR.items() if folder != name.replace(".", "/"))
LEFT_OUT = shutil.ignore_patterns(".git", ".venv*", "build", "dist", "*.egg-info", "__pycache__", ".*_cache")


def left_out(folder: str, names: list[str]) -> set[str]:
    """What a build does not need; results of runs lie at the top only, rlpath/runs is a package."""
    return LEFT_OUT(folder, names) | ({"runs"} & set(names) if Path(folder) == ROOT else set())


def test_every_package_is_rlpath_or_below_and_is_mapped() -> None:
    """No second top-level name, and no package without a folder."""
    assert {name.split(".")[0] for name in PACKAGE_DIR} == {"rlpath"}
    assert sorted(SETUPTOOLS["packages"]) == sorted(PACKAGE_DIR)


def test_every_folder_of_modules_is_a_package() -> None:
    """A new folder that pyproject.toml does not know would be missing from the wheel."""
    folders = {file.parent for room in ("rlpath", "envs", "rewards", "evals") for file in (ROOT / room).rglob("*.py")}
    known = {ROOT / folder for folder in PACKAGE_DIR.values()}

    assert {folder for folder in folders if not any(part.is_symlink() for part in (folder, *folder.parents))} == known


@pytest.mark.parametrize("name", LINKED)
def test_a_room_seen_inside_rlpath_is_a_link_not_a_copy(name: str) -> None:
    """A copy would be imported in place of the folder that is edited."""
    link = ROOT / name.replace(".", "/")
    if not link.is_dir():
        pytest.skip("a checkout without symbolic links: imports go by the mapping alone")

    assert link.resolve() == ROOT / PACKAGE_DIR[name], f"{link} is a copy: edits to {PACKAGE_DIR[name]}/ are ignored"


def test_the_code_that_runs_is_the_checkout() -> None:
    """Tests judge the files beside them, not an installed version."""
    assert Path(rlpath.envs.__file__ or "").resolve().is_relative_to(ROOT / "envs")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as pip builds it from a copy of the checkout, so that no build leftovers get in or stay."""
    copy = tmp_path_factory.mktemp("source") / "rlpath"
    shutil.copytree(ROOT, copy, symlinks=True, ignore=left_out)
    target = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(target), str(copy)]
    installed = [int(d.version.split(".")[0]) for d in importlib.metadata.distributions(name="setuptools")]
    if max(installed, default=0) >= 77:  # what pyproject.toml asks for; an older one does not know its fields
        command.append("--no-build-isolation")
    subprocess.run(command, check=True, capture_output=True)
    return next(target.glob("*.whl"))


def test_the_wheel_holds_one_name_and_every_module(wheel: Path) -> None:
    """rlpath and its metadata, nothing else; each module of the four folders, the type marker, the license."""
    names = zipfile.ZipFile(wheel).namelist()
    expected = {
        f"{name.replace('.', '/')}/{file.name}"
        for name, folder in PACKAGE_DIR.items()
        for file in (ROOT / folder).glob("*.py")
    }

    assert {name.split("/")[0].split("-")[0] for name in names} == {"rlpath"}
    assert {name for name in names if name.endswith(".py")} == expected
    assert "rlpath/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_verifiers_import_from_the_wheel_without_torch(wheel: Path, tmp_path: Path) -> None:
    """Anyone's code can use a verifier without a deep-learning stack."""
    code = """
import sys
import rlpath.rewards
heavy = {"torch", "transformers", "trl", "vllm", "peft", "accelerate", "matplotlib"} & set(sys.modules)
print(rlpath.rewards.__file__, *sorted(heavy))
"""
    environment = {"PYTHONPATH": str(wheel)}
    said = subprocess.check_output([sys.executable, "-c", code], env=environment, cwd=tmp_path, text=True).split()

    assert said == [str(wheel / "rlpath" / "rewards" / "__init__.py")]
