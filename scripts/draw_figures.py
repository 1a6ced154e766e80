"""Draw the figures of the documentation from the recorded data beside them.

    python scripts/draw_figures.py                                                  # demo.json → demo.svg
    python scripts/draw_figures.py --record runs/reproduced/grpo_arithmetic/*/seed-*  # read the runs first

Every file of `recipes/curves` is drawn too. `recipes/figures/demo.json` holds pass@1 on held-out problems before and
after training for each seed and, once recorded, the mean reward of every training step.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from rlpath.core.errors import run_command
from rlpath.core.files import read_json, write_atomic
from rlpath.core.stats import mean_band
from rlpath.evals.measure.evaluation import read_evaluation
from rlpath.report import plots
from rlpath.report.plots import Line
from rlpath.runs.run_folder import read_run

WINDOW = 5
"""Training steps averaged in one point of the demo's figure: a step has rewards of 64 completions only."""
FIGURES = Path(__file__).parents[1] / "recipes" / "figures"
CURVES = FIGURES.with_name("curves")


@dataclass(frozen=True)
class Args:
    record: tuple[Path, ...] = ()
    """run folders of the demo, one a seed, to read into demo.json first"""
    folder: Path = FIGURES
    """where demo.json lies and demo.svg is written"""


def record(runs: tuple[Path, ...]) -> dict[str, Any]:
    """What demo.json holds, read from finished runs: by seed, pass@1 before and after, and rewards by step."""
    seeds: dict[str, Any] = {}
    for path in runs:
        run = read_run(path)
        before, after = (read_evaluation(path / "evaluations" / f"{side}.jsonl") for side in ("before", "after"))
        rewards = [row["reward"] for row in run.metrics if row.get("reward") is not None]
        held_out = [evaluation.summary().pass_at[1].estimate for evaluation in (before, after)]
        seeds[str(run.config["seed"])] = {"held_out": held_out, "reward": [round(value, 4) for value in rewards]}
    started = str(read_run(runs[0]).manifest.get("started", ""))[:10]
    return {"recipe": "grpo_arithmetic", "date": started, "steps": 100, "seeds": seeds}


def draw(data: dict[str, Any]) -> str:
    """Training reward (where recorded), averaged over `WINDOW` steps, between held-out pass@1 before and after: SVG."""
    seeds, steps = data["seeds"], data["steps"]
    lines = []
    curves = [
        np.convolve(seed["reward"], np.full(WINDOW, 1 / WINDOW), "valid") for seed in seeds.values() if seed["reward"]
    ]
    for i, curve in enumerate(curves):
        label = "reward, each seed" if i == 0 else None
        lines.append(Line(label, _middles(len(curve)), curve, plots.GRAY, faint=len(curves) > 1))
    if len(curves) > 1:
        shortest = min(map(len, curves))
        values = np.array([curve[:shortest] for curve in curves])
        lines.append(Line("mean, 95 %", _middles(shortest), values.mean(0), plots.BLUE, mean_band(values)))
    held_out = np.array([seed["held_out"] for seed in seeds.values()])
    for i, pair in enumerate(held_out):
        for step, share in zip((0, steps), pair, strict=True):
            label = "held-out pass@1" if i == step == 0 else None
            lines.append(Line(label, [step], [share], plots.GREEN))
    title = f"GRPO on sums: {100 * held_out[:, 0].mean():.0f} % → {100 * held_out[:, 1].mean():.0f} % on held-out"
    count = f"{len(held_out)} seed{'s'[: len(held_out) != 1]}"
    xlabel = f"step (rewards: means of {WINDOW} steps)"
    return plots.standalone(plots.line_plot("demo", f"{title}, {count}", lines, percent=True, xlabel=xlabel)) + "\n"


def _middles(points: int) -> list[float]:
    """The steps in the middle of each window."""
    return [1 + (WINDOW - 1) / 2 + i for i in range(points)]


def draw_curve(name: str, data: dict[str, Any]) -> str:
    """Recorded training returns over environment steps: every seed faint, their mean with its interval."""
    curves = np.array(list(data["curves"].values()), dtype=float)
    lines = [
        Line("each seed" if i == 0 else None, data["step"], curve, plots.GRAY, faint=True)
        for i, curve in enumerate(curves)
    ]
    lines.append(Line("mean, 95 %", data["step"], curves.mean(0), plots.BLUE, mean_band(curves)))
    title = f"{data['recipe'].upper()} on {data['config']['env_id']}, {len(curves)} seeds"
    return plots.standalone(plots.line_plot(name, title, lines, xlabel="environment steps")) + "\n"


def main() -> None:
    args = tyro.cli(Args)
    path = args.folder / "demo.json"
    if args.record:
        write_atomic(path, json.dumps(record(args.record), indent=1) + "\n")
    write_atomic(args.folder / "demo.svg", draw(read_json(path)))
    for curve in sorted(CURVES.glob("*.json")):
        write_atomic(args.folder / f"{curve.stem}.svg", draw_curve(curve.stem, read_json(curve)))


if __name__ == "__main__":
    run_command(main)
