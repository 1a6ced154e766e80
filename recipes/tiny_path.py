"""From bytes to a chat model that reinforcement learning improves: pretraining, SFT, GRPO and evaluation, over seeds.

    python recipes/tiny_path.py
    python recipes/tiny_path.py --smoke

Each stage of each seed is a recipe of its own in a process of its own: `pretrain_tiny.py`, `sft_tiny.py`,
`grpo_tiny.py`; `rlpath eval` then asks the seeds of GRPO and those of SFT, their baseline. Every stage has held-out
figures and checks what it trains on against what is evaluated. Stopped at any moment, the same command goes on.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rlpath.core.errors import InputError, run_command
from rlpath.core.files import read_json, write_atomic
from rlpath.envs.tiny_text import worked_sums
from rlpath.evals.contamination.screen import sentence
from rlpath.exhibits.ladder_page import BASE, StageRuns, write_ladder
from rlpath.posttrain.experiment import SEED, read_settings
from rlpath.runs.run_folder import ANNOUNCE, read_run

RECIPES = Path(__file__).parent
STAGES = ("pretrain_tiny", "sft_tiny", "grpo_tiny")
"""Each but the first starts from the same seed's model of the one before."""
QUESTIONS = "held_out_sums.jsonl"


@dataclass(frozen=True, kw_only=True)
class Settings:
    preset: str = "cpu"
    """preset of every stage"""
    seeds: tuple[int, ...] = (0, 1, 2)
    """seeds of the whole pipeline: text, weights, data order, rollouts"""
    eval_samples: int = 8
    """sampled completions of each problem of the last evaluation"""
    eval_size: int = 476
    """problems of the last evaluation; 476 is every held-out sum"""
    root: Path = Path("runs")
    """folder of all runs; the table goes to ROOT/tiny_path"""

    def check(self) -> None:
        """Refuse what cannot be run; raises `InputError` naming the field."""
        if not self.seeds or len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            raise InputError("--seeds must be different numbers, none of them negative")
        if self.eval_samples < 1 or self.eval_size < 1:
            raise InputError("--eval-samples and --eval-size must be at least 1")


PRESETS = {
    "smoke": Settings(preset="smoke", seeds=(0,), eval_samples=1, eval_size=2),
    "cpu": Settings(),
}
PRESETS |= {name: replace(PRESETS["cpu"], preset=name) for name in ("gpu-24gb", "gpu-80gb")}


def main() -> None:
    settings = read_settings(PRESETS)
    settings.check()
    runs: dict[str, list[Path]] = {stage: [] for stage in STAGES}
    for seed in settings.seeds:
        start = ""
        for stage in STAGES:
            run = run_stage(settings, stage, seed, start)
            runs[stage].append(run)
            start = str(run.parent / f"seed-{SEED}" / "model")
    evaluate(settings, runs["sft_tiny"], runs["grpo_tiny"])
    print(write_table(runs))


def run_stage(settings: Settings, stage: str, seed: int, start: str) -> Path:
    """One stage of one seed in a process of its own, which goes on where it stopped; its run folder."""
    print(f"{stage}, seed {seed}", flush=True)
    words = ["--preset", settings.preset, "--seed", str(seed), "--root", str(settings.root)]
    with tempfile.NamedTemporaryFile("r", encoding="utf-8") as announced:
        command = [str(RECIPES / f"{stage}.py"), *words, *(["--model", start] if start else [])]
        call(command, {ANNOUNCE: announced.name}, f"{stage}, seed {seed}")
        return Path(announced.read().split("\n")[0])


def evaluate(settings: Settings, baseline: Sequence[Path], models: Sequence[Path]) -> None:
    """The held-out sums, put to the seeds of the last stage and to those of the stage before it."""
    folder = table_folder(models)
    folder.mkdir(parents=True, exist_ok=True)
    held_out = worked_sums("validation", read_run(models[0]).config["level"], size=settings.eval_size)
    rows = [json.dumps({"question": problem.prompt, "answer": problem.gold}) for problem in held_out.problems]
    write_atomic(folder / QUESTIONS, "\n".join(rows) + "\n")
    task = f"{folder / QUESTIONS}?verifier=number&max_tokens=32"
    words = ["eval", "--tasks", task, "--template", "plain", "--samples", str(settings.eval_samples)]
    words += ["--out", str(folder / "evaluation"), "--model", *map(str, models)]
    call(["-m", "rlpath.cli.main", *words, "--baseline", *map(str, baseline)], {}, "the evaluation")


def call(words: Sequence[str], environment: dict[str, str], what: str) -> None:
    """Run Python with these words. Raises `InputError` where it fails, KeyboardInterrupt where it was stopped."""
    done = subprocess.run([sys.executable, *words], env=os.environ | environment, check=False)
    if done.returncode == 130:
        raise KeyboardInterrupt
    if done.returncode:
        raise InputError(f"{what} ended with status {done.returncode}: mend what it says above and run this again")


def table_folder(last: Sequence[Path]) -> Path:
    """Where table and evaluation lie: the configuration of the last stage names the whole pipeline's."""
    return last[0].parents[2] / "tiny_path" / last[0].parent.name


def write_table(runs: dict[str, list[Path]]) -> Path:
    """Every stage against the one it started from, over seeds, with what was pretrained and checked; the report."""
    pretrained, tuned, reinforced = (runs[stage] for stage in STAGES)
    folder = table_folder(reinforced)
    stages = [
        StageRuns("sft", BASE, tuple(tuned), tuple(map(minutes, tuned))),
        StageRuns("grpo", "sft", tuple(reinforced), tuple(map(minutes, reinforced))),
    ]
    report = write_ladder(folder, {"arithmetic": stages}, [*map(pretraining, pretrained), *overlaps(runs)])
    print((folder / "ladder.md").read_text(encoding="utf-8"))
    return report


def minutes(run: Path) -> float:
    """Minutes that a run took, restarts included."""
    return read_json(run / "finished.json")["wall_s"] / 60


def pretraining(run: Path) -> str:
    """What pretraining gave, in a sentence."""
    record = read_run(run)
    size = record.manifest["parameters"]
    bits = [row["bits_a_byte"] for row in record.metrics if "bits_a_byte" in row]
    said = f"{size:,} parameters, {bits[-1]:.3f} bits a byte on held-out text, {minutes(run):.1f} minutes"
    return f"pretraining, {run.name}: {said}"


def overlaps(runs: dict[str, list[Path]]) -> list[str]:
    """What each stage's overlap check found, a sentence a stage and finding."""
    checks = [
        f"{stage}: {sentence(read_run(run).manifest['contamination'])}"
        for stage, folders in runs.items()
        for run in folders
    ]
    return list(dict.fromkeys(checks))


if __name__ == "__main__":
    run_command(main)
