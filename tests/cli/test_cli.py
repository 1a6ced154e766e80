"""The command `rlpath` starts fast, finds its subcommands, and refuses in one sentence."""

import subprocess
import sys
from pathlib import Path

import pytest

from rlpath import __version__
from rlpath.cli import main as cli
from rlpath.core.errors import InputError


def rlpath(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rlpath.cli.main", *words], capture_output=True, text=True, check=False
    )


def test_help_lists_every_command() -> None:
    """Each subcommand with its line of help, status 0; without words the same, status 2."""
    asked, bare = rlpath("--help"), rlpath()

    assert (asked.returncode, bare.returncode) == (0, 2)
    assert asked.stdout == bare.stdout
    assert all(name in asked.stdout and command.help in asked.stdout for name, command in cli.COMMANDS.items())


def test_the_version_is_the_package_version() -> None:
    """For bug reports."""
    assert rlpath("--version").stdout.strip() == __version__


def test_help_imports_nothing_heavy() -> None:
    """Not even tyro: the list comes at once."""
    code = """
import sys
from rlpath.cli import main as cli
cli.run(["--help"])
print({"torch", "transformers", "numpy", "tyro", "rich"} & set(sys.modules))
"""
    assert subprocess.check_output([sys.executable, "-c", code], text=True).endswith("set()\n")


def test_an_unknown_command_is_one_sentence_with_the_nearest_name() -> None:
    """Exit status 2, no traceback, and a guess."""
    answer = rlpath("docter")

    assert answer.returncode == 2
    assert answer.stderr == "error: rlpath has no command 'docter'; did you mean doctor?\n"
    with pytest.raises(InputError, match=r"no command 'zzz'; choose one of .*doctor"):
        cli.run(["zzz"])


def test_every_command_exists_and_explains_itself() -> None:
    """Each target imports, is documented, and its module imports no torch."""
    assert all(command.load().__doc__ for command in cli.COMMANDS.values())
    modules = [command.target.partition(":")[0] for command in cli.COMMANDS.values()]
    code = f"""
import importlib, sys
for module in {modules}:
    importlib.import_module(module)
    assert "torch" not in sys.modules, module
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_flags_of_a_command_come_from_its_fields(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A dataclass with a typed field becomes a subcommand with a flag, and the status of its run is passed on."""
    lines = ["from dataclasses import dataclass", "@dataclass", "class Act:", "    n: int"]
    lines += ["    def run(self) -> int:", "        return self.n + 1"]
    (tmp_path / "made.py").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(cli.COMMANDS, "act", cli.Command("made:Act", "add one"))

    assert cli.run(["act", "--n", "2"]) == 3
