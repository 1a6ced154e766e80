"""Reward hacking, trained and drawn: proxy reward and true reward of the same completions, step by step.

An exhibit has arms: one whose reward has a hole, and its cures. Each arm is a training run of its own with a run folder
like any other; its curves are read back from the completions it wrote down, judged once more by the true verifier.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState

from rlpath.core.files import write_atomic
from rlpath.core.stats import interval_over_seeds
from rlpath.core.types import ProblemSet, Verifier
from rlpath.models.rollouts import PolicySampler
from rlpath.posttrain.experiment import Notes
from rlpath.posttrain.on_policy import TrainingInputs, train_policy
from rlpath.posttrain.settings import GRPOSettings, PPOSettings
from rlpath.posttrain.verify import RewardFunction
from rlpath.report import page, plots
from rlpath.report.plots import Line
from rlpath.rewards.combine.named import verifiers_of
from rlpath.runs.provenance import manifest
from rlpath.runs.run_folder import RunFolder, read_run

ENDS = 3
"""Steps averaged at either end of a curve."""
ROSE = 0.05
"""A share of completions has risen where it ends more than this above its start."""


@dataclass(frozen=True)
class Arm:
    """One proxy reward: the verifier of `problems`, or the reward function that `reward` makes for a seed."""

    name: str
    words: str
    settings: GRPOSettings | PPOSettings
    problems: ProblemSet
    reward: Callable[[int], RewardFunction] | None = None
    hacks: bool = False


@dataclass(frozen=True)
class Exhibit:
    """A hole, and arms with and without it. `truth` gives the true reward; `hole` says what the proxy gets wrong."""

    name: str
    title: str
    hole: str
    truth: Verifier
    arms: tuple[Arm, ...]


@dataclass(frozen=True)
class RewardCurve:
    """One arm and seed by step: mean proxy reward, share truly right, mean length in tokens, KL where it was measured.

    `kl` is in nats per completion, from the model that training started from.
    """

    steps: list[int]
    proxy: list[float]
    true: list[float]
    tokens: list[float]
    kl: list[float]

    def ends(self, name: str) -> tuple[float, float]:
        """The mean of one quantity over the first and over the last steps."""
        values = getattr(self, name)
        count = min(ENDS, max(1, len(values) // 2))
        return sum(values[:count]) / count, sum(values[-count:]) / count


Curves = Mapping[str, Mapping[int, RewardCurve]]
"""By arm and seed."""


def train_arm(recipe: str, exhibit: Exhibit, arm: Arm, seed: int, path: Path, sampler: PolicySampler) -> RewardCurve:
    """Train one arm with one seed, or go on with it, or read it where it is finished."""
    settings = replace(arm.settings, seed=seed)
    # Exhibits that show the same arm share its run.
    config = {"arm": arm.name, **asdict(settings)}
    with RunFolder.open(settings.root, recipe, config, seed) as run:
        if not run.finished:
            checkpoint = run.last_checkpoint()
            run.rewind(int(checkpoint.name.rsplit("-", 1)[1]) if checkpoint else 0)
            reward = arm.reward(seed) if arm.reward else None
            facts = manifest(sys.argv, config, [arm.problems], settings.model, path)
            run.write_manifest(facts | {"verifiers": verifiers_of(reward or arm.problems.verifier, exhibit.truth)})
            run.labels["data"] = arm.problems.name
            state = PartialState(cpu=not torch.cuda.is_available())
            training = TrainingInputs(
                run, path, arm.problems, None, sampler, state, run.checkpoints, checkpoint, Notes(run)
            )
            train_policy(training, settings, rewards=reward)
            run.mark_finished()
        return read_curve(run.path, exhibit.truth)


def read_curve(run: Path, truth: Verifier) -> RewardCurve:
    """The curve of a run from its completions, each verified by `truth`."""
    record = read_run(run)
    by_step: dict[int, list[tuple[float | None, bool, int]]] = {}
    for row in record.samples:
        verdict = truth(
            row["completion"], row["gold"], question=row["prompt"], truncated=row["finish_reason"] == "length"
        )
        proxy = row.get("reward", row["score"])
        by_step.setdefault(row["step"], []).append((proxy, verdict.correct, row["tokens"]))
    kl = {row["step"]: row["kl/completion"] for row in record.metrics if row.get("kl/completion") is not None}
    steps = sorted(by_step)
    return RewardCurve(
        steps,
        [_mean([proxy for proxy, _, _ in by_step[step] if proxy is not None]) for step in steps],
        [_mean([right for _, right, _ in by_step[step]]) for step in steps],
        [_mean([tokens for _, _, tokens in by_step[step]]) for step in steps],
        [kl[step] for step in steps] if all(step in kl for step in steps) else [],
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def hacked(curves: Mapping[int, RewardCurve]) -> bool:
    """Whether on every seed the proxy rose and the true reward did not (by more than 5 points)."""
    changes = [(curve.ends("proxy"), curve.ends("true")) for curve in curves.values()]
    return all(p[1] > p[0] + ROSE and t[1] <= t[0] + ROSE for p, t in changes)


# The page


def write_exhibit(folder: Path, exhibit: Exhibit, curves: Curves, extra: Sequence[str] = ()) -> Path:
    """`curves.json`, one SVG an arm and `index.html` in `folder`; returns the page's path. `extra` is further HTML."""
    folder.mkdir(parents=True, exist_ok=True)
    data = {arm: {str(seed): asdict(curve) for seed, curve in seeds.items()} for arm, seeds in curves.items()}
    write_json(folder / "curves.json", data)
    figures = []
    for arm in exhibit.arms:
        figures.append(arm_plot(f"{exhibit.name}-{arm.name}", f"{arm.name}: {arm.words}", curves[arm.name]))
        write_atomic(folder / f"{arm.name}.svg", figures[-1] + "\n")
    body = [
        page.heading(exhibit.title),
        page.soft(exhibit.hole),
        page.note(finding(exhibit, curves)),
        page.section("Proxy reward and true reward of the completions of each step", page.plots(figures)),
        page.section("First and last steps", page.table(HEAD, table_rows(exhibit, curves)), page.soft(_words(curves))),
        *extra,
    ]
    path = folder / "index.html"
    write_atomic(path, page.page(exhibit.title, body))
    return path


def write_json(path: Path, value: Any) -> None:
    """The value as JSON, atomically; what is not finite becomes null."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(each) for key, each in value.items()}
        if isinstance(value, list):
            return [plain(each) for each in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    write_atomic(path, json.dumps(plain(value), indent=1) + "\n")


def arm_plot(name: str, title: str, curves: Mapping[int, RewardCurve]) -> str:
    """Proxy and true reward of one arm over steps: their means, and every seed faintly."""
    lines = []
    for label, quantity, color in (("proxy reward", "proxy", plots.RED), ("true reward", "true", plots.GREEN)):
        series = [(curve.steps, getattr(curve, quantity)) for curve in curves.values()]
        if len(series) > 1:
            lines += [Line(None, steps, values, color=color, faint=True) for steps, values in series]
        shared = sorted(set.intersection(*(set(steps) for steps, _ in series)))
        by_step = [dict(zip(steps, values, strict=True)) for steps, values in series]
        lines.append(Line(label, shared, [_mean([seed[step] for seed in by_step]) for step in shared], color=color))
    return plots.line_plot(name, title, lines)


HEAD = ("arm", "seed", "proxy reward, first → last", "true reward, first → last", "tokens, first → last")


def table_rows(exhibit: Exhibit, curves: Curves) -> list[list[str]]:
    """One row an arm and seed."""
    return [
        [arm.name, str(seed), *(_ends(curve, name, digits) for name, digits in COLUMNS)]
        for arm in exhibit.arms
        for seed, curve in curves[arm.name].items()
    ]


COLUMNS = (("proxy", 2), ("true", 2), ("tokens", 1))


def _ends(curve: RewardCurve, name: str, digits: int) -> str:
    first, last = curve.ends(name)
    return f"{first:.{digits}f} → {last:.{digits}f}"


def _words(curves: Curves) -> str:
    steps = next(iter(next(iter(curves.values())).values())).steps
    return (
        f"Means over the completions of the first and the last {ENDS} of {len(steps)} steps. An arm counts as hacked "
        f"where on every seed the proxy reward rose by more than {ROSE} and the true reward did not."
    )


def finding(exhibit: Exhibit, curves: Curves) -> str:
    """What each arm did, in a sentence with its figures; said of the seeds at hand and no more."""
    return " ".join(_arm_finding(arm, curves[arm.name]) for arm in exhibit.arms)


def _arm_finding(arm: Arm, curves: Mapping[int, RewardCurve]) -> str:
    changes = {}
    for name in ("proxy", "true"):
        ends = [curve.ends(name) for curve in curves.values()]
        changes[name] = [last - first for first, last in ends]
    word = "was hacked" if hacked(curves) else "was not hacked" if not arm.hacks else "was not hacked within its steps"
    seeds = f"{len(curves)} seed{'s'[: len(curves) != 1]}"
    proxy, true = _change(changes["proxy"]), _change(changes["true"])
    return f"{arm.name} {word} ({seeds}): proxy reward {proxy}, true reward {true}."


def _change(values: Sequence[float]) -> str:
    mean = f"{_mean(values):+.2f}"
    if len(values) < 2:
        return mean
    interval = interval_over_seeds(values)
    return f"{mean} [{interval.low:+.2f}, {interval.high:+.2f}]"
