"""Two sets of seeds: hand-worked figures, what may be said of them, and what may not be compared."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rlpath.cli.main import run as rlpath
from rlpath.core.errors import InputError
from rlpath.core.stats import paired_difference_of_runs
from rlpath.evals.compare.run_sets import SetComparison, compare_sets, contrast
from rlpath.runs.seed_sets import read_set

A = {0: 10.0, 1: 12.0, 2: 9.0, 3: 11.0, 4: 13.0}
B = {0: 12.0, 1: 15.0, 2: 10.0, 3: 15.0, 4: 14.0}


Write = Callable[..., Path]


def compare(write_set: Write, a: dict[int, float], b: dict[int, float]) -> SetComparison:
    return compare_sets(read_set([write_set(a, lr=1.0)]), read_set([write_set(b, lr=2.0)]))


def test_paired_by_hand(write_set: Write) -> None:
    """Gains 2, 3, 1, 4, 1: 2.2 ± 1.619; the permutation of five pairs gives a p of 0.0625 at best."""
    found = compare(write_set, A, B)
    first = found.contrasts[0]
    interval = first.difference.interval

    assert found.paired and found.verdict == "B is better" and found.differing == {"lr": (1.0, 2.0)}
    assert (interval.estimate, interval.low, interval.high) == pytest.approx((2.2, 0.58107, 3.81893), abs=1e-4)
    assert first.p_permutation == first.smallest_p == 0.0625
    beats = [1.0 if y > x else 0.5 if y == x else 0.0 for x in A.values() for y in B.values()]
    assert first.improvement == pytest.approx(sum(beats) / 25)
    assert first.improvement_interval is None and first.iqm_a is None
    assert [c.score for c in found.contrasts] == ["final", "last_100", "area"]
    # The curve rises evenly to the final value, so that its mean over 50 shares is 0.51 of it.
    assert found.contrasts[2].mean_a.estimate == pytest.approx(0.51 * 11)
    assert found.sentence.startswith(
        "B is better: final evaluation 11 for A, 13.2 for B, difference +2.2 [0.5811, 3.81"
    )


def test_what_cannot_be_seen_is_said(write_set: Write) -> None:
    """No difference is claimed, and the smallest visible one is named."""
    found = compare(write_set, A, {seed: value + (-1) ** seed for seed, value in A.items()})
    least = found.contrasts[0].difference.detectable

    assert found.verdict == "no detectable difference"
    assert f"a true difference below {least:.4g} is not detectable with 5 paired seeds" in found.sentence


def test_runs_that_never_vary(write_set: Write) -> None:
    """MountainCar's -200 on both sides proves nothing about small differences."""
    found = compare(write_set, dict.fromkeys(range(4), -200.0), dict.fromkeys(range(4), -200.0))

    assert found.verdict == "no detectable difference" and "nothing can be said of small differences" in found.sentence


def test_other_seeds_are_not_paired(tmp_path: Path, write_set: Write) -> None:
    """All of them count, by Welch; with `shared_only` the pairs alone, and what is left out is named."""
    b = {seed + 2: value for seed, value in B.items()}
    found = compare(write_set, A, b)
    assert not found.paired and found.contrasts[0].difference.test.startswith("Welch")
    assert "--shared-only" in found.notes[0]

    one, other = (read_set([path]) for path in sorted(tmp_path.glob("ppo/*"), key=first_lr))
    shared = compare_sets(one, other, shared_only=True)
    assert shared.paired and list(shared.contrasts[0].a) == [2, 3, 4]
    assert shared.notes[-1] == "Left out, as only one side has them: seeds 0, 1, 5, 6."


def first_lr(folder: Path) -> float:
    return json.loads(next(folder.glob("seed-*/config.json")).read_text())["lr"]


def test_ten_seeds_bring_iqm_and_intervals() -> None:
    """0 … 11 against the same plus 3: the middle six of twelve average 5.5 and 8.5."""
    a = {seed: float(seed) for seed in range(12)}
    found = contrast("final", a, {seed: value + 3 + 0.1 * (seed % 2) for seed, value in a.items()})

    assert found.iqm_a is not None and found.iqm_a.estimate == 5.5
    assert found.improvement_interval is not None
    assert found.improvement_interval.low < found.improvement < found.improvement_interval.high


def test_equal_sets_are_called_different_as_rarely_as_said() -> None:
    """2000 pairs of five seeds from one distribution, skewed like returns under a ceiling: at most 7 in a hundred."""
    rng = np.random.default_rng(11)
    alarms = sum(paired_difference_of_runs(*(500 - rng.exponential(10, size=(2, 5)))).p < 0.05 for _ in range(2000))

    assert 0.01 <= alarms / 2000 <= 0.07


def test_the_command_writes_page_figures_and_json(
    tmp_path: Path, write_set: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    """Printed, and beside A's configuration; every figure is a picture by itself."""
    a, b = write_set(A, lr=1.0), write_set(B, lr=2.0)

    assert rlpath(["compare", str(a), f"{b}/seed-*"]) == 0
    out = capsys.readouterr().out
    folder = tmp_path / "ppo" / f"compare-{a.name}-{b.name}"
    assert "differing: lr 1.0 → 2.0" in out and "B is better" in out and str(folder / "report.html") in out
    found = json.loads((folder / "compare.json").read_text())
    assert found["contrasts"][0]["difference"]["interval"]["estimate"] == pytest.approx(2.2)
    page = (folder / "report.html").read_text()
    assert page.count("<svg") == 3 and "B is better" in page
    for name in ("curves", "seeds", "profile"):
        assert ElementTree.fromstring((folder / f"{name}.svg").read_text()).tag.endswith("svg")

    two = ",".join(f"{a}/seed-{k}" for k in (0, 1))
    assert rlpath(["compare", two, str(b), "--metric", "area", "--out", str(tmp_path / "o")]) == 0
    assert "area under the curve" in capsys.readouterr().out.splitlines()[-3]


def test_what_cannot_be_compared(tmp_path: Path, write_set: Write, write_run: Write) -> None:
    """An unfinished seed, another environment or evaluation, itself, a single seed, an unknown score."""
    a, b = write_set(A, lr=1.0), write_set(B, lr=2.0)
    other = write_set(B, env_id="Acrobot-v1")
    (b / "seed-3" / "finished.json").unlink()

    def refused(said: str, *words: object) -> None:
        with pytest.raises(InputError, match=re.escape(said)):
            rlpath(["compare", *map(str, words)])

    refused("seed-3 did not finish", a, b)
    refused("A is of CartPole-v1, B of Acrobot-v1", a, other)
    refused("cannot be compared with itself", a, a)
    refused("needs two seeds on each side, and there are 5 and 1", a, f"{b}/seed-0")
    refused("--metric finale is no score of every run; did you mean final?", a, f"{b}/seed-[0-2]", "--metric", "finale")
    refused("not a run folder", a, tmp_path / "nowhere")
    run = write_run(0, [1.0], 1.0, lr=3.0, eval_episodes=5)
    final = json.loads((run / "evaluations" / "final.json").read_text())
    (run / "evaluations" / "final.json").write_text(json.dumps({**final, "episodes": 5}))
    write_run(1, [1.0], 1.0, lr=3.0, eval_episodes=5)
    refused("evaluated with different episodes (2 and 5)", a, run.parent)
