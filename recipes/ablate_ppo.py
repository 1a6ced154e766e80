"""Which of PPO's details matter here? One is changed at a time, with the same seeds in every arm.

python recipes/ablate_ppo.py                                   # CartPole-v1, 9 arms of 10 seeds, 100k steps
python recipes/ablate_ppo.py --env-id Acrobot-v1 --seeds 5

Declared before looking: the score is the mean return over all of training (the area under the learning curve), tests
are paired by seed, and p is corrected for the number of arms (Holm). The score after training is shown beside it. Each
arm is an ordinary set of runs of recipes/ppo.py, so that `rlpath compare` reads any two of them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import tyro

from rlpath.core.errors import InputError, run_command
from rlpath.core.files import write_atomic
from rlpath.core.seeding import parse_seeds
from rlpath.core.stats import Difference, holm, paired_difference_of_runs, probability_of_improvement
from rlpath.deep.ppo import Args
from rlpath.deep.runner.recipe import BatchedOptions, check, config_of
from rlpath.report import plots
from rlpath.report.plots import Points
from rlpath.report.tables import text_table
from rlpath.runs.curves import last_mean, learning_curve
from rlpath.runs.run_folder import read_run, run_path

PPO = Path(__file__).with_name("ppo.py")
ARMS: dict[str, dict[str, Any]] = {
    "no advantage standardization": {"norm_adv": False},
    "no value clipping": {"clip_vloss": False},
    "no entropy bonus": {"ent_coef": 0.0},
    "no gradient clipping": {"max_grad_norm": float("inf")},
    "constant step size": {"anneal_lr": False},
    "torch's initial weights": {"orthogonal_init": False},
    "Adam's epsilon 1e-8": {"adam_eps": 1e-8},
    "truncation as termination": {"bootstrap_truncated": False},
}


@dataclass(frozen=True)
class Settings:
    """One ablation."""

    env_id: str = "CartPole-v1"
    """A registered Gymnasium environment with discrete actions."""
    total_timesteps: int = 100_000
    """Environment steps of every run."""
    seeds: str = "10"
    """The seeds of every arm: a number (10), a range (0-9) or a list (1,2,5)."""
    root: Path = Path("runs")
    """Where run folders go; the table goes to ROOT/ablate_ppo."""
    jobs: int = 0
    """Processes at a time; 0 is one a core."""


@dataclass(frozen=True)
class AblationRow:
    """One arm against the baseline. Scores are mean returns; `p` is corrected."""

    arm: str
    area: list[float]
    last_100: list[float]
    effect: Difference
    after: Difference
    improvement: float
    p: float

    @property
    def verdict(self) -> str:
        """What may be said of the detail."""
        if self.p < 0.05:
            return "better without" if self.effect.interval.estimate > 0 else "worse without"
        return f"not detectable with {len(self.area)} seeds (smallest visible: {self.effect.detectable:.0f})"


def run_arm(settings: Settings, args: Args, changed: dict[str, Any]) -> list[Path]:
    """Run the seeds of one arm, those that are finished excepted; their folders."""
    seeds = parse_seeds(settings.seeds)
    flags = [
        f"--{'no-' if value is False else ''}{name.replace('_', '-')}" if isinstance(value, bool) else
        f"--{name.replace('_', '-')}={value}"
        for name, value in {"env_id": args.env_id, "total_timesteps": args.total_timesteps, **changed}.items()
    ]  # fmt: skip
    options = ["--batched", "--seeds", settings.seeds, "--root", str(settings.root), "--jobs", str(settings.jobs)]
    if subprocess.call([sys.executable, str(PPO), *flags, *options], stdout=subprocess.DEVNULL):
        raise InputError("a run failed (see above): the same command goes on with what is missing")
    config = config_of("ppo", replace(args, **changed), BatchedOptions(root=settings.root, batched=True))
    return [run_path(settings.root, "ppo", config, seed) for seed in seeds]


def scores(runs: Sequence[Path]) -> tuple[list[float], list[float]]:
    """Mean return over all of training, and over the last 100 episodes, of every run."""
    records = [read_run(run) for run in runs]
    return [learning_curve(record).area for record in records], [last_mean(record) or 0.0 for record in records]


def compare(arms: dict[str, tuple[list[float], list[float]]]) -> list[AblationRow]:
    """Every arm but the first against the first."""
    (area_0, last_0), *others = arms.values()
    effects = [paired_difference_of_runs(area_0, area) for area, _ in others]
    rows = []
    for name, (area, last), effect, p in zip(
        list(arms)[1:], others, effects, holm([effect.p for effect in effects]), strict=True
    ):
        improvement = probability_of_improvement([[x] for x in area], [[x] for x in area_0]).estimate
        rows.append(AblationRow(name, area, last, effect, paired_difference_of_runs(last_0, last), improvement, p))
    return rows


def table(rows: Sequence[AblationRow]) -> str:
    """The rows as text."""
    head = ("changed", "effect on the whole", "after training", "P(better)", "p (Holm)", "verdict")
    cells = [
        (row.arm, shown(row.effect), shown(row.after), f"{row.improvement:.2f}", f"{row.p:.2g}", row.verdict)
        for row in rows
    ]
    return text_table(head, cells)


def shown(difference: Difference) -> str:
    """A difference with its interval."""
    interval = difference.interval
    return f"{interval.estimate:+.1f} [{interval.low:+.1f}, {interval.high:+.1f}]"


def figure(rows: Sequence[AblationRow]) -> str:
    """The effects with their intervals, as SVG."""
    at = [float(i) for i in range(len(rows))]
    effects = [row.effect.interval for row in rows]
    points = Points("", at, [e.estimate for e in effects], [e.low for e in effects], [e.high for e in effects])
    names = [row.arm.replace(" ", "\n") for row in rows]
    title = "Effect on the mean return over training, 95 % intervals"
    svg = plots.points_plot("ablation", title, [points], xlabel="", xticks=at, xticklabels=names, percent=False)
    return plots.standalone(svg)


def main() -> int:
    """Run what is missing, print the table and write it down."""
    settings = tyro.cli(Settings)
    args = replace(Args(), env_id=settings.env_id, total_timesteps=settings.total_timesteps)
    check(args, BatchedOptions(jobs=settings.jobs))
    if len(parse_seeds(settings.seeds)) < 3:
        raise InputError(f"--seeds {settings.seeds}: at least 3 seeds are needed to say anything of a detail")
    arms = {}
    for name, changed in {"baseline": {}, **ARMS}.items():
        arms[name] = scores(run_arm(settings, args, changed))
        mean = sum(arms[name][0]) / len(arms[name][0])
        print(f"{name}: mean return over training {mean:.1f}", flush=True)
    rows = compare(arms)
    out = settings.root / "ablate_ppo" / f"{settings.env_id}-{settings.total_timesteps}-{settings.seeds}"
    out.mkdir(parents=True, exist_ok=True)
    results = {"settings": asdict(settings), "baseline": arms["baseline"], "rows": [asdict(row) for row in rows]}
    write_atomic(out / "table.json", json.dumps(results, indent=1, default=str) + "\n")
    write_atomic(out / "effects.svg", figure(rows))
    print(f"\n{table(rows)}\n\n{out / 'table.json'}")
    return 0


if __name__ == "__main__":
    run_command(main)
