"""A set of seeds is whole or refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rlpath.core.errors import InputError
from rlpath.runs.run_folder import RunFolder
from rlpath.runs.seed_sets import ask, asked, read_set


def make(root: Path, seed: int, finished: bool = True, **config: object) -> Path:
    with RunFolder.open(root, "ppo", {"lr": 1.0, **config}, seed) as run:
        if finished:
            run.mark_finished()
        return run.path


def test_a_folder_holds_its_seeds_in_order(tmp_path: Path) -> None:
    """By the folder, by names, and by a pattern; the seed is a number, not a word."""
    paths = [make(tmp_path, seed) for seed in (10, 2, 0)]
    folder = paths[0].parent

    whole = read_set([folder])

    assert whole.seeds == [0, 2, 10] and whole.recipe == "ppo" and whole.config == {"lr": 1.0}
    assert whole.name == f"ppo/{folder.name}"
    assert read_set(paths[:2]).seeds == [2, 10]
    assert read_set([f"{folder}/seed-[0-9]"]).seeds == [0, 2]


def test_an_incomplete_set_is_refused_by_name(tmp_path: Path) -> None:
    """A seed unfinished, or asked for and never begun, stops the set; naming the others is a choice that shows."""
    folder = make(tmp_path, 0).parent
    make(tmp_path, 3, finished=False)
    with pytest.raises(InputError, match=r"incomplete: seed-3 did not finish"):
        read_set([folder])
    assert read_set([folder / "seed-0"]).seeds == [0]

    make(tmp_path, 3)
    ask(folder, [0, 3, 4])
    ask(folder, [5])
    assert asked(folder) == [0, 3, 4, 5]
    with pytest.raises(InputError, match=re.escape("seeds 4, 5 were asked for and left no run")):
        read_set([folder])


def test_what_is_no_set(tmp_path: Path) -> None:
    """Nothing, a seed twice, two configurations."""
    one, other = make(tmp_path, 0), make(tmp_path, 1, lr=2.0)
    (tmp_path / "empty").mkdir()

    with pytest.raises(InputError, match="no run was named"):
        read_set([])
    with pytest.raises(InputError, match="holds no run"):
        read_set([tmp_path / "empty"])
    with pytest.raises(InputError, match="not a run folder"):
        read_set([tmp_path / "nowhere"])
    with pytest.raises(InputError, match="seed 0 is named twice"):
        read_set([one, one])
    with pytest.raises(InputError, match="differ in lr"):
        read_set([one, other])
