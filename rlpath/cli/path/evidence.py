"""What a milestone needs, looked for in the runs at hand: each function returns the evidence, or None.

A figure that a run wrote down is not believed where the material for it lies beside it: policies are evaluated again,
means are taken again over episodes, verdicts are drawn again from the answers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise, product
from pathlib import Path
from statistics import fmean
from typing import TypeVar

import gymnasium
import numpy as np

from rlpath.cli.path.sound import RunsAtHand, names, recipe_of
from rlpath.core.errors import InputError
from rlpath.core.stats import t_interval
from rlpath.evals.compare.comparison import compare, read_comparison
from rlpath.evals.compare.likelihood import loss_finding, read_likelihoods
from rlpath.evals.measure.evaluation import read_evaluation
from rlpath.evals.suite.result import FILE, read_result
from rlpath.runs.prereg import parse_prereg
from rlpath.runs.provenance import file_sha256
from rlpath.runs.run_folder import RunRecord, differing_fields
from rlpath.tabular.dp import expected_return, greedy, optimum
from rlpath.tabular.settings import TabularSettings
from rlpath.tabular.stationary import best_stationary

SEEDS = 3
NEAR_OPTIMUM = 0.01
"""Share of the optimum that the mean over seeds may lack."""
LIES = 3
NOT_A_DETAIL = ("env_id", "total_timesteps", "eval_episodes", "checkpoint_every", "steps")
"""Fields whose change makes another experiment and no ablation."""
BLANK = "…"
SIDES = ("before", "after")
_ENTRY = re.compile(r"^## (\d{4}-\d\d-\d\d) .*?seed (\d+) \((\w+)\)\s*$(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class ShownBy:
    """The runs that show a milestone, and what they show in a sentence."""

    runs: str
    sentence: str


Finder = Callable[[RunsAtHand], ShownBy | None]
MALFORMED = (InputError, OSError, KeyError, IndexError, TypeError, ValueError, AttributeError)
"""What reading files of another shape raises: such a run shows nothing, and the next is looked at."""

Candidate = TypeVar("Candidate")


def _first(candidates: Iterable[Candidate], judge: Callable[[Candidate], ShownBy | None]) -> ShownBy | None:
    """The evidence of the first candidate that shows something."""
    for candidate in candidates:
        try:
            found = judge(candidate)
        except MALFORMED:
            continue
        if found is not None:
            return found
    return None


# The trunk


def loss_curve(runs: RunsAtHand) -> ShownBy | None:
    """A language model pretrained to its last step, better on held-out text at the end than at the first look."""

    def judge(record: RunRecord) -> ShownBy | None:
        bits = [row["bits_a_byte"] for row in record.metrics if row.get("bits_a_byte") is not None]
        if not (record.path / "model" / "model.safetensors").is_file() or bits[-1] >= bits[0]:
            return None
        return ShownBy(names([record]), f"{bits[0]:.2f} → {bits[-1]:.2f} bits a byte on held-out text")

    return _first(runs.of("pretrain_tiny"), judge)


def pipeline(runs: RunsAtHand) -> ShownBy | None:
    """Pretraining, SFT and GRPO, each from the weights that the stage before saved."""

    def judge(stages: tuple[RunRecord, ...]) -> ShownBy | None:
        if not all(_starts_from(later, earlier) for earlier, later in pairwise(stages)):
            return None
        return ShownBy(names(stages), "each stage began with the weights of the one before")

    return _first(product(runs.of("pretrain_tiny"), runs.of("sft"), runs.of("grpo")), judge)


def _starts_from(later: RunRecord, earlier: RunRecord) -> bool:
    """Whether a run began with the weights that another saved, by their hashes."""
    used = later.manifest["model"]["sha256"]
    saved = {file.name: file for file in (earlier.path / "model").glob("*.safetensors")}
    return bool(used) and {*used} == {*saved} and all(file_sha256(saved[name]) == used[name] for name in used)


# Reinforcement learning on environments


def first_agent(runs: RunsAtHand) -> ShownBy | None:
    """An agent whose episodes after training earn more than it did before, by more than chance."""

    def judge(record: RunRecord) -> ShownBy | None:
        final = record.evaluations["final"]
        before, after = final["untrained"], t_interval(final["returns"])
        said = f"{record.config['env_id']}: return {before:.1f} → {after.estimate:.1f}"
        return ShownBy(names([record]), said) if after.low > before else None

    return _first(runs.of("first_agent"), judge)


def q_learning(runs: RunsAtHand) -> ShownBy | None:
    """Q-tables whose greedy policies, evaluated exactly here, are at the optimum of exact dynamic programming."""

    def judge(records: Sequence[RunRecord]) -> ShownBy | None:
        config = records[0].config
        if config["algorithm"] != "q_learning" or config["map"] is not None:
            return None
        options = tuple(config["env_options"])
        model = TabularSettings(env_id=config["env_id"], env_options=options, max_steps=config["max_steps"]).model()
        tables = [np.load(record.path / "q.npz")["q"] for record in records]
        found = float(np.mean([expected_return(model, greedy(table)) for table in tables]))
        best = best_stationary(model).value
        if found < best - NEAR_OPTIMUM * abs(best):
            return None
        said = f"{config['env_id']}, {len(records)} seed{'s'[: len(records) > 1]}: {found:.4f}"
        exact = f"exact optimum {best:.4f}, or {optimum(model):.4f} for a policy that watches the clock"
        return ShownBy(names(records), f"{said}; {exact}")

    return _first(runs.seed_sets("tabular", least=1), judge)


def ppo_over_seeds(runs: RunsAtHand) -> ShownBy | None:
    """PPO on three seeds at least, whose mean return is what the environment calls solved."""

    def judge(records: Sequence[RunRecord]) -> ShownBy | None:
        env_id = records[0].config["env_id"]
        solved = gymnasium.spec(env_id).reward_threshold
        returns = [fmean(record.evaluations["final"]["returns"]) for record in records]
        if solved is None or fmean(returns) < solved:
            return None
        limits = t_interval(returns)
        said = f"{limits.estimate:.1f} [{limits.low:.1f}, {limits.high:.1f}]"
        return ShownBy(names(records), f"{env_id}, {len(returns)} seeds: {said}; solved at {solved:g}")

    return _first(runs.seed_sets("ppo", least=SEEDS), judge)


def ablation(runs: RunsAtHand) -> ShownBy | None:
    """Two configurations of one algorithm that differ in one detail, on the same three seeds at least."""

    def judge(pair: tuple[Sequence[RunRecord], ...]) -> ShownBy | None:
        one, other = pair
        (changed,) = differing_fields(one[0].config, other[0].config)
        shared = {record.config["seed"] for record in one} & {record.config["seed"] for record in other}
        if changed in NOT_A_DETAIL or len(shared) < SEEDS or not all("final" in r.evaluations for r in (*one, *other)):
            return None
        values = [str(records[0].config.get(changed, "absent")) for records in pair]
        said = f"{changed} {' against '.join(values)} on {len(shared)} shared seeds"
        return ShownBy(names([*one, *other]), said)

    sets = runs.seed_sets("ppo", "dqn", "a2c", "sac", "td3", "ddpg", "reinforce", least=SEEDS)
    return _first(combinations(sets, 2), judge)


# Post-training


def sft(runs: RunsAtHand) -> ShownBy | None:
    """Supervised fine-tuning, measured before and after."""
    return _first(runs.of("sft"), _before_and_after)


def dpo(runs: RunsAtHand) -> ShownBy | None:
    """Direct preference optimization, measured before and after."""
    return _first(runs.of("dpo"), _before_and_after)


def grpo(runs: RunsAtHand) -> ShownBy | None:
    """GRPO with a verifiable reward, measured before and after."""
    return _first(runs.of("grpo"), _before_and_after)


def _before_and_after(record: RunRecord) -> ShownBy | None:
    """The verdict on a run's problems, where it follows from the answers; without problems, its held-out loss."""
    folder, seed = record.path / "evaluations", record.config["seed"]
    if (folder / "verdict.json").exists():
        first, last = (read_evaluation(folder / f"{side}.jsonl") for side in SIDES)
        again = compare(first, last, seed)
        told = read_comparison(folder / "verdict.json")
        same = again.verdict is told.verdict and again.outcomes == told.outcomes
        return ShownBy(names([record]), again.sentence) if same else None
    before, after = (read_likelihoods(folder / f"held_out_{side}.jsonl") for side in SIDES)
    if not before or [row.id for row in before] != [row.id for row in after]:
        return None
    return ShownBy(names([record]), loss_finding(before, after, seed).sentence)


# Evaluation and method


def lies(runs: RunsAtHand) -> ShownBy | None:
    """`rlpath eval --show-lies`: three ways at least in which a flattering figure was larger than the honest one."""

    def judge(path: Path) -> ShownBy | None:
        rows = json.loads(path.read_text(encoding="utf-8"))
        shown = {row["name"] for row in rows if row["flattering"]["value"] > row["honest"]["value"] and row["why"]}
        said = f"{len(shown)} ways shown, such as: {', '.join(sorted(shown)[:LIES])}"
        return ShownBy(str(path), said) if len(shown) >= LIES else None

    return _first(runs.files("lies.json"), judge)


def evaluation(runs: RunsAtHand) -> ShownBy | None:
    """`rlpath eval` of three training seeds at least against a baseline of the same size, with all its answers."""

    def judge(path: Path) -> ShownBy | None:
        result = read_result(path.parent)
        answers = [read_evaluation(path.parent / file) for file in result.answers.values()]
        of_seeds = [c for c in result.contrasts if c.same_size and len(result.entrant(c.model).seeds) >= SEEDS]
        if not answers or not all(answer.complete for answer in answers) or not of_seeds:
            return None
        return ShownBy(str(path.parent), of_seeds[0].claim)

    return _first(runs.files(FILE), judge)


def preregistered(runs: RunsAtHand) -> ShownBy | None:
    """A run whose manifest holds a whole plan, for its recipe and seed, that it read before its first step."""

    def judge(record: RunRecord) -> ShownBy | None:
        plan = record.manifest["prereg"]
        declared = parse_prereg(plan["text"], plan["path"])
        meant = recipe_of(record) in declared.models and record.config["seed"] in declared.seeds
        said = f"plan read on {plan['time'][:10]}: {declared.hypothesis}"
        return ShownBy(names([record]), said) if meant and declared.sha256 == plan["sha256"] else None

    return _first(runs.sound, judge)


def log_entry(runs: RunsAtHand) -> ShownBy | None:
    """A dated entry of `rlpath log` about a run at hand, with what was learned and what is next filled in."""

    def judge(entry: tuple[str, ...]) -> ShownBy | None:
        date, seed, config, body = entry
        parts = dict(re.findall(r"\*\*(\w+)\.\*\* *(.*)", body))
        written = all(parts[name].strip(f" {BLANK}") for name in ("Happened", "Learned", "Next"))
        about = [r for r in runs.sound if r.path.parent.name == config and r.config["seed"] == int(seed)]
        return ShownBy(names(about[:1]), f"{runs.log}, entry of {date}") if written and about else None

    text = runs.log.read_text(encoding="utf-8") if runs.log.is_file() else ""
    return _first(_ENTRY.findall(text), judge)
