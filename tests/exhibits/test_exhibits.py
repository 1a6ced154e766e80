"""Curves of reward hacking: read back from what was sampled, judged by the truth, and called by what they show."""

from __future__ import annotations

import json
import math
from itertools import combinations
from pathlib import Path

import pytest
import torch

from rlpath.core.types import Problem, ProblemSet
from rlpath.exhibits.overoptimization import BestOf, best_of_n, overoptimization_section
from rlpath.exhibits.reward_hacking import Arm, Exhibit, RewardCurve, finding, hacked, read_curve, write_exhibit
from rlpath.posttrain.settings import GRPOSettings
from rlpath.rewards import NumberVerifier
from rlpath.rewards.combine.flawed import ContainsVerifier
from rlpath.runs.run_folder import RunFolder


def curve(proxy: list[float], true: list[float]) -> RewardCurve:
    steps = list(range(1, len(proxy) + 1))
    return RewardCurve(steps, proxy, true, [10.0] * len(proxy), [0.1 * step for step in steps])


UP, DOWN, FLAT = [0.1, 0.1, 0.2, 0.8, 0.9, 0.9], [0.3, 0.3, 0.3, 0.1, 0.1, 0.1], [0.2] * 6


def test_a_curve_is_read_from_the_samples(tmp_path: Path) -> None:
    """Paid by the log, judged by the truth; the reward function's number wins over the verifier's score."""
    with RunFolder.open(tmp_path, "hack", {}, 0) as run:
        rows = [
            ("1 2 3", "3", 1.0, None, "stop"),
            ("3", "3", 1.0, None, "stop"),
            ("no idea", "3", 0.0, None, "length"),
            ("4", "4", 1.0, -0.5, "stop"),
            ("5", "4", 0.0, 2.0, "stop"),
        ]
        for number, (said, gold, score, reward, finish) in enumerate(rows):
            row = {"step": 1 + number // 3, "prompt": "?", "completion": said, "gold": gold, "score": score,
                   "tokens": len(said), "finish_reason": finish}  # fmt: skip
            run.log_samples([row if reward is None else {**row, "reward": reward}])
        run.log_metrics(1, {"kl/completion": 0.5})
        run.log_metrics(2, {"kl/completion": 0.25})
        path = run.path

    found = read_curve(path, NumberVerifier())

    assert found.steps == [1, 2]
    assert found.proxy == pytest.approx([2 / 3, 0.75])
    assert found.true == pytest.approx([1 / 3, 0.5])
    assert found.tokens == pytest.approx([13 / 3, 1])
    assert found.kl == [0.5, 0.25]


def test_ends_are_means_of_three_steps_or_of_half() -> None:
    assert curve(UP, DOWN).ends("proxy") == pytest.approx((0.4 / 3, 2.6 / 3))
    assert curve([0.0, 1.0], [0.0, 0.0]).ends("proxy") == (0.0, 1.0)


def test_hacked_is_paid_more_and_no_better_on_every_seed() -> None:
    """A policy that gets better as it is paid is not; nor is one that only one seed fooled."""
    assert hacked({0: curve(UP, DOWN), 1: curve(UP, FLAT)})
    assert not hacked({0: curve(UP, UP)})
    assert not hacked({0: curve(FLAT, FLAT)})
    assert not hacked({0: curve(UP, DOWN), 1: curve(UP, UP)})


def exhibit() -> Exhibit:
    problems = ProblemSet("p", "train", (Problem("1", "1?", "1"),), ContainsVerifier(), "here")
    arms = tuple(Arm(name, "words", GRPOSettings(), problems, hacks=name == "hole") for name in ("hole", "cure"))
    return Exhibit("digits", "A title", "What the hole is", NumberVerifier(), arms)


def test_the_page_has_both_curves_of_every_arm(tmp_path: Path) -> None:
    """Figures by hand: proxy reward 0.13 → 0.87, true reward 0.30 → 0.10; JSON and SVG beside the page."""
    curves = {"hole": {0: curve(UP, DOWN), 1: curve(UP, DOWN)}, "cure": {0: curve(FLAT, FLAT), 1: curve(UP, UP)}}

    page = write_exhibit(tmp_path / "out", exhibit(), curves).read_text()

    assert "hole was hacked (2 seeds): proxy reward +0.73 [+0.73, +0.73], true reward -0.20" in page
    assert "cure was not hacked (2 seeds)" in page
    assert "0.13 → 0.87" in page
    assert page.count("<svg") == 2
    assert "proxy reward" in (tmp_path / "out" / "hole.svg").read_text()
    saved = json.loads((tmp_path / "out" / "curves.json").read_text())
    assert saved["hole"]["0"]["proxy"] == UP
    assert saved["cure"]["1"]["true"] == UP


def test_an_arm_that_should_be_hacked_and_is_not_is_said_so() -> None:
    words = finding(exhibit(), {"hole": {0: curve(FLAT, FLAT)}, "cure": {0: curve(FLAT, FLAT)}})

    assert "hole was not hacked within its steps (1 seed): proxy reward +0.00, true reward +0.00." in words


# Best of n


def test_best_of_n_by_hand() -> None:
    """Proxies 1, 2, 3 with truths 0, 1, 0: the best of two is 2 once and 3 twice."""
    proxy, true = torch.tensor([[3.0, 1.0, 2.0]]), torch.tensor([[False, False, True]])

    found = best_of_n(proxy, true, (1, 2, 3))

    assert [best.n for best in found] == [1, 2, 3]
    assert [best.proxy for best in found] == pytest.approx([2, 8 / 3, 3])
    assert [best.true for best in found] == pytest.approx([1 / 3, 1 / 3, 0])
    assert [best.kl for best in found] == pytest.approx([0, math.log(2) - 0.5, math.log(3) - 2 / 3])


def test_best_of_n_is_the_mean_over_all_subsets() -> None:
    """Counted out, over two prompts."""
    generator = torch.Generator().manual_seed(0)
    proxy, true = torch.randn(2, 6, generator=generator), torch.rand(2, 6, generator=generator) < 0.5

    (found,) = best_of_n(proxy, true, (3,))

    chosen = [max(subset, key=lambda i: row[i].item()) for row in proxy for subset in combinations(range(6), 3)]
    rows = [0] * 20 + [1] * 20
    assert found.proxy == pytest.approx(sum(proxy[r, i].item() for r, i in zip(rows, chosen, strict=True)) / 40)
    assert found.true == pytest.approx(sum(true[r, i].item() for r, i in zip(rows, chosen, strict=True)) / 40)


def test_samples_that_tie_share_their_truth() -> None:
    """All proxies equal: choosing by them is choosing at random, whatever the order."""
    for truths in ([True, False, False, False], [False, False, False, True]):
        (found,) = best_of_n(torch.ones(1, 4), torch.tensor([truths]), (4,))
        assert found.true == pytest.approx(0.25)


def test_more_than_there_are_is_refused() -> None:
    with pytest.raises(ValueError, match="between 1 and the 4 samples"):
        best_of_n(torch.ones(1, 4), torch.ones(1, 4), (5,))


def test_the_overoptimization_section_shows_both_methods() -> None:
    """Means over seeds in the table, four lines in the plot."""
    bests = {seed: [BestOf(1, 0.0, 0.0, 0.2), BestOf(2, 0.193, 0.5 + seed, 0.3)] for seed in (0, 1)}

    (section,) = overoptimization_section({0: curve(UP, DOWN), 1: curve(UP, DOWN)}, bests)

    assert "<td>2</td><td>0.19</td><td>1.00</td><td>0.30</td>" in section
    for words in ("PPO, proxy reward", "PPO, true reward", "best-of-n, proxy reward", "best-of-n, true reward", "√KL"):
        assert words in section
