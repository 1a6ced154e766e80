"""One DPO experiment: pairs from a verifier or from people, train, then held-out preferences and problems.

A verifier makes pairs out of the model's own samples: a correct against a wrong answer to the same problem. The
held-out pairs are made in the same way of the samples that the evaluation before training drew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from trl.trainer.dpo_config import DPOConfig

from rlpath.core.errors import InputError
from rlpath.core.types import ExampleSet, Preference, ProblemSet
from rlpath.envs.preferences import pairs_of_verified
from rlpath.evals.compare.likelihood import Likelihood, preference_finding
from rlpath.evals.contamination.screen import OnHit, screen
from rlpath.evals.measure.evaluation import read_evaluation
from rlpath.posttrain.experiment import (
    Notes,
    RunContext,
    last_checkpoint,
    not_packed_note,
    save_model,
    start_run,
    train_to_the_end,
)
from rlpath.posttrain.own_samples import OwnSamplesSettings, start_with_own_samples
from rlpath.posttrain.scores import pair_logprobs
from rlpath.posttrain.tokens import TokenPair, encode_preference, in_order_of_use
from rlpath.posttrain.trainers import DPOTrainer
from rlpath.posttrain.tuning import (
    Examination,
    base_model,
    check_max_length,
    conclude,
    measured,
    rows_of,
    tokenizer_for,
)
from rlpath.runs.provenance import describe_data


@dataclass(frozen=True, kw_only=True)
class DPOSettings(OwnSamplesSettings):
    beta: float = 0.1
    """β, the scale of the implicit reward: the larger, the closer the policy stays to the reference"""
    loss: Literal["sigmoid", "ipo", "robust", "hinge"] = "sigmoid"
    """sigmoid is DPO's own; ipo does not run away where pairs are certain; robust expects flipped labels"""
    label_smoothing: float = 0.0
    """share of flipped labels that the robust loss assumes"""
    pairs_per_prompt: int = 4
    """at most so many pairs of one problem"""

    def least(self) -> Mapping[str, float]:
        return {**super().least(), "samples": 2, "pairs_per_prompt": 1}

    def check(self, processes: int) -> None:
        """Refuse impossible sizes before anything is loaded; raises `InputError` naming the field."""
        super().check(processes)
        if not self.beta > 0 or not 0 <= self.label_smoothing < 0.5:
            raise InputError("--beta must be positive and --label-smoothing at least 0 and below 0.5")
        if self.label_smoothing and self.loss != "robust":
            raise InputError(f"--label-smoothing has no part in --loss {self.loss}: choose --loss robust")


def run_dpo_on_problems(
    recipe: str, settings: DPOSettings, train: ProblemSet, held_out: ProblemSet, *, on_hit: OnHit = "flag"
) -> None:
    """Run or resume `recipe` on pairs that a verifier makes: that of `train`, or the one the settings name.

    The held-out pairs and the evaluation are verified by that of `held_out`, or the one named for it. Raises
    `InputError` as `pairs_of_verified`.
    """
    own = start_with_own_samples(recipe, settings, train, held_out, on_hit=on_hit)
    if own is None:
        return
    before = read_evaluation(own.evaluations / "before.jsonl")
    verified = [asdict(sample) for sample in before.of("sample")]
    sides = (
        _pairs(own.train, "train", own.rows, settings),
        # One pair a problem: the held-out pairs are then independent, as their interval takes them to be.
        _pairs(own.held_out, "validation", verified, replace(settings, pairs_per_prompt=1)),
    )
    _train(own.context, settings, *sides, own.examination, {"generated_tokens": own.generated_tokens})


def run_dpo_on_pairs(
    recipe: str,
    settings: DPOSettings,
    train: ExampleSet[Preference],
    held_out: ExampleSet[Preference],
    *,
    on_hit: OnHit = "flag",
) -> None:
    """Run or resume `recipe` on given pairs; no problems are completed."""
    train, overlap = screen(train, held_out, on_hit=on_hit)
    context = start_run(recipe, settings, [train, held_out], {"contamination": overlap})
    if context is not None:
        _train(context, settings, train, held_out, None, {"generated_tokens": 0})


def _pairs(
    problems: ProblemSet,
    split: Literal["train", "validation"],
    rows: Sequence[dict[str, Any]],
    settings: DPOSettings,
) -> ExampleSet[Preference]:
    name = f"{problems.name} pairs by {type(problems.verifier).__name__}"
    made = pairs_of_verified(rows, per_prompt=settings.pairs_per_prompt, seed=settings.seed, name=f"the {split} {name}")
    return ExampleSet(name, split, tuple(made), f"sampled from {settings.model}")


def _train(
    context: RunContext,
    settings: DPOSettings,
    train: ExampleSet[Preference],
    held_out: ExampleSet[Preference],
    examination: Examination | None,
    facts: dict[str, Any],
) -> None:
    check_max_length(context, settings)
    notes = Notes(context.run)
    tokenizer = tokenizer_for(context, settings, notes)
    rows = rows_of(train, encode_preference, tokenizer, settings, notes)
    kept_out = rows_of(held_out, encode_preference, tokenizer, settings, notes)[: settings.held_out]
    if context.run is not None:
        context.run.write_json("pairs.json", facts | {"data": [describe_data(train), describe_data(held_out)]})
        print(f"{len(rows)} training pairs, {len(kept_out)} held-out pairs", flush=True)
    folder, checkpoint = last_checkpoint(context.run, settings.root, context.state)
    args = DPOConfig(
        **settings.trl(folder, context.state.num_processes),
        beta=settings.beta,
        loss_type=[settings.loss],
        label_smoothing=settings.label_smoothing,
    )
    trainer = DPOTrainer(
        base_model(context, settings),
        in_order_of_use(rows, settings.steps * settings.batch, settings.seed),
        args=args,
        tokenizer=tokenizer,
        peft_config=settings.lora(),
    )
    notes.add(*not_packed_note(trainer))
    before = measured(context, "pairs_before", lambda: _likelihoods(trainer, kept_out))
    train_to_the_end(trainer, context.run, checkpoint)
    after = measured(context, "pairs_after", lambda: _likelihoods(trainer, kept_out))
    finding = preference_finding(_paired(before), _paired(after), f"pairs of {held_out.name}", settings.seed)
    conclude(context, examination, [finding], save_model(context.run, trainer))


def _likelihoods(trainer: DPOTrainer, pairs: Sequence[TokenPair]) -> list[Likelihood]:
    """Chosen and rejected in turn."""
    answers = [row for pair in pairs for row in (pair.chosen, pair.rejected)]
    logprobs = [value for both in pair_logprobs(trainer, pairs) for value in both]
    return [Likelihood(row.id, value, len(row.answer)) for row, value in zip(answers, logprobs, strict=True)]


def _paired(rows: Sequence[Likelihood]) -> list[tuple[Likelihood, Likelihood]]:
    return list(zip(rows[::2], rows[1::2], strict=True))
