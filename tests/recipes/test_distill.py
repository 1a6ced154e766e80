"""On-policy distillation as a whole: the student comes nearer to its teacher, killed or not; a stranger is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlpath.runs.run_folder import read_run

RECIPE = str(Path(__file__).parents[2] / "recipes" / "distill.py")
Launch = Callable[..., Any]


@pytest.fixture
def teacher_folder(tmp_path: Path, tiny_model: Callable[..., Any], tiny_tokenizer: Any) -> Path:
    """A wider model of other weights with the student's tokenizer."""
    folder = tmp_path / "teacher"
    tiny_model(seed=5, hidden_size=48, initializer_range=0.3).save_pretrained(folder)
    tiny_tokenizer.save_pretrained(folder)
    return folder


def test_the_student_comes_nearer(launch: Launch, digit_folder: Path, teacher_folder: Path, tmp_path: Path) -> None:
    """The divergence from the teacher falls by a third; killed and resumed, the same numbers."""
    flags = ("--smoke", "--steps", "6", "--prompts-per-step", "4", "--group-size", "4", "--learning-rate", "0.02")
    command = (RECIPE, *flags, "--model", str(digit_folder), "--teacher", str(teacher_folder))
    done = launch(*command, "--root", str(tmp_path / "a"))
    assert done.status == 0, done.err
    assert "nothing to learn" not in done.out
    (path,) = (tmp_path / "a").glob("distill/*/seed-0")
    apart = [row["kl/teacher"] for row in read_run(path).metrics]
    assert apart[-1] < 2 / 3 * apart[0]

    assert launch(*command, "--root", str(tmp_path / "b"), at="update").status == -9
    assert launch(*command, "--root", str(tmp_path / "b")).status == 0
    (again,) = (tmp_path / "b").glob("distill/*/seed-0")
    assert [row["kl/teacher"] for row in read_run(again).metrics] == apart


def test_a_teacher_with_another_tokenizer_is_refused(
    launch: Launch, digit_folder: Path, teacher_folder: Path, tmp_path: Path
) -> None:
    """In one sentence, with status 2."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(teacher_folder)
    tokenizer.add_tokens(["<extra>"])
    shutil.rmtree(teacher_folder / "tokenizer.json", ignore_errors=True)
    tokenizer.save_pretrained(teacher_folder)
    command = (RECIPE, "--smoke", "--model", str(digit_folder), "--teacher", str(teacher_folder))
    done = launch(*command, "--root", str(tmp_path))
    assert done.status == 2
    assert "has another tokenizer than" in done.err
