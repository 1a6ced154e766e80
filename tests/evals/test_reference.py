"""Reference curves: what is kept, what lies inside, how often a right run is rejected, and what cannot be checked."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rlpath.cli.main import run as rlpath
from rlpath.core.errors import InputError
from rlpath.core.stats import t_quantile
from rlpath.evals.compare.reference import ALPHA, FIGURES, SHARES, band, read_reference

Write = Callable[..., Path]
FINALS = {seed: 100.0 + value for seed, value in enumerate((-3, -1, 0, 2, 1, -2, 3, 0))}


@pytest.fixture
def reference(tmp_path: Path, write_set: Write) -> Path:
    """A file of eight seeds that rise evenly to about 100."""
    path = tmp_path / "curves" / "ppo-cartpole.json"
    assert rlpath(["check-curve", str(write_set(FINALS)), "--record", "--out", str(path)]) == 0
    return path


def test_a_file_holds_what_made_it(reference: Path) -> None:
    """Steps, every seed's curve and figures, settings, versions and date; one line a seed; it reads back the same."""
    kept = read_reference(reference)

    assert kept.recipe == "ppo" and kept.config["env_id"] == "CartPole-v1" and "seed" not in kept.config
    assert kept.step[:2] == [2, 4] and len(kept.step) == 50 and kept.curves["0"][-1] == 97.0
    assert kept.figures["4"] == {"final": 101.0, "last_100": 101.0}
    assert kept.summary["final"]["estimate"] == 100.0
    assert kept.made["packages"] == {"torch": ["2.13.0"]} and kept.made["dates"] == ["2026-11-23"]
    text = reference.read_text()
    assert len(text) < 6000 and sum(line.startswith('  "') for line in text.splitlines()) >= 8
    kept.save(reference)
    assert reference.read_text() == text


def test_inside_and_outside(
    reference: Path, tmp_path: Path, write_run: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    """A curve like the others passes; one that learns late, or ends low, fails, and is told where."""
    rising = [2.0 * (i + 1) for i in range(50)]
    right = write_run(20, rising, 100.5)
    assert rlpath(["check-curve", str(right), "--reference", str(reference), "--out", str(tmp_path / "c.svg")]) == 0
    out = capsys.readouterr().out
    assert "inside the band: ppo/" in out and "the chance that right seeds fail this check is at most 5 %" in out
    assert (tmp_path / "c.svg").read_text().startswith("<svg")

    late = write_run(21, [0.0] * 25 + rising[25:], 100.0)
    assert rlpath(["check-curve", str(late), "--reference", str(reference)]) == 1
    out = capsys.readouterr().out
    assert "seed 21, steps 40 to 50: 0.00, band [" in out and "outside the band" in out and "steps 50 to 60" not in out

    # The curve is right, the final evaluation is not.
    low = write_run(22, rising, 60.0)
    assert rlpath(["check-curve", str(low), "--reference", str(reference)]) == 1
    assert "seed 22, final evaluation: 60.00, band [" in capsys.readouterr().out


def test_several_seeds_are_judged_together_too(
    reference: Path, write_run: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    """Five seeds, each a little low and none by itself outside: their mean is."""
    sd = float(np.std(list(FINALS.values()), ddof=1))
    runs = [write_run(30 + i, [2.0 * (j + 1) for j in range(50)], 100.0 - 3.5 * sd) for i in range(5)]

    assert rlpath(["check-curve", str(runs[0]), "--reference", str(reference)]) == 0
    assert rlpath(["check-curve", *map(str, runs), "--reference", str(reference)]) == 1
    out = capsys.readouterr().out
    assert "the mean of 5 seeds, final evaluation" in out and "seed 30, final" not in out


def test_the_band_by_hand() -> None:
    """Mean ± t(n-1) sd sqrt(1 + 1/n) at the 5 % level divided by the points; never narrower than 1 % of the largest."""
    points = np.random.default_rng(0).normal(100, 5, size=(10, 12))
    found = band(points, 1, ALPHA)
    half = t_quantile(1 - ALPHA / 24, 9) * points.std(0, ddof=1) * np.sqrt(1.1)

    assert found.widened == 1
    assert np.allclose(found.high - points.mean(0), half) and np.allclose(points.mean(0) - found.low, half)
    flat = band(np.full((10, 12), -200.0), 1, ALPHA)
    assert np.allclose(flat.low, -202) and np.allclose(flat.high, -198)


def normal(rng: np.random.Generator, seeds: int) -> np.ndarray:
    return 400 + rng.normal(0, 20, size=(seeds, 1)) + rng.normal(0, 10, size=(seeds, SHARES + len(FIGURES)))


def ceiling(rng: np.random.Generator, seeds: int) -> np.ndarray:
    """Returns of a solved task: nearly always 500, with rare dips."""
    shape = (seeds, SHARES + len(FIGURES))
    return 500 - np.where(rng.random(shape) < 0.1, rng.exponential(60, shape), rng.exponential(2, shape))


@pytest.mark.parametrize(("draw", "new", "most"), [(normal, 1, 0.06), (normal, 3, 0.06), (ceiling, 1, 0.13)])
def test_a_right_run_is_rejected_as_rarely_as_said(
    draw: Callable[[np.random.Generator, int], np.ndarray], new: int, most: float
) -> None:
    """Ten reference seeds, 300 repetitions: 5 % for normal seeds, 1 in 11 for returns under a ceiling."""
    rng = np.random.default_rng(7)
    alarms = 0
    for _ in range(300):
        known, fresh = draw(rng, 10), draw(rng, new)
        each = band(known, 1, ALPHA if new == 1 else ALPHA / 2 / new)
        alarm = ((fresh < each.low) | (fresh > each.high)).any()
        if new > 1:
            together = band(known, new, ALPHA / 2)
            alarm |= ((fresh.mean(0) < together.low) | (fresh.mean(0) > together.high)).any()
        alarms += bool(alarm)

    assert alarms / 300 <= most


def test_the_reference_is_found_by_recipe_and_settings(
    reference: Path, write_run: Write, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In recipes/curves, with notes on versions, on fields it does not know and on seeds it already holds."""
    monkeypatch.setattr("rlpath.evals.commands.seeds.CURVES", reference.parent)
    run = write_run(3, [2.0 * (i + 1) for i in range(50)], 100.0, new_switch=False)
    (run / "manifest.json").write_text(json.dumps({"packages": {"torch": "2.14.0"}}))

    assert rlpath(["check-curve", str(run)]) == 0
    out = capsys.readouterr().out
    assert f"reference: {reference}" in out and "torch 2.13.0 → 2.14.0" in out
    assert "not compared: new_switch" in out and "Seeds 3 are in the reference too" in out

    other = write_run(0, [1.0], 1.0, total_timesteps=200)
    with pytest.raises(InputError, match=r"of ppo there are ppo-cartpole.json, with other settings"):
        rlpath(["check-curve", str(other)])


def test_what_cannot_be_checked(reference: Path, tmp_path: Path, write_run: Write, write_set: Write) -> None:
    """Other settings, another recipe, no reference, a broken one, too few seeds, no file to write to."""
    other = write_run(0, [1.0], 1.0, total_timesteps=200)
    dqn = write_run(0, [1.0], 1.0, recipe="dqn")
    broken = tmp_path / "broken.json"
    broken.write_text('{"recipe": "ppo"}')

    def refused(said: str, *words: object) -> None:
        with pytest.raises(InputError, match=re.escape(said)):
            rlpath(["check-curve", *map(str, words)])

    refused("total_timesteps (100 there, 200 here)", other, "--reference", reference)
    refused("the reference is of ppo, the run of dqn", dqn, "--reference", reference)
    refused("there is no reference", other, "--reference", tmp_path / "none.json")
    refused("is not a reference curve of this version", other, "--reference", broken)
    refused("has 2 seeds; a reference needs at least 3", write_set({0: 1.0, 1: 2.0}, lr=2), "--record", "--out", broken)
    refused("--record needs --out FILE", other, "--record")
    (other / "finished.json").unlink()
    refused("seed-0 did not finish", other, "--reference", reference)
