"""One DPO experiment: pairs from a verifier or from people, train, then held-out preferences and problems.

A verifier makes pairs out of the model's own samples: a correct against a wrong answer to the same problem. The
held-out pairs are made in the same way of the samples that the evaluation before training drew.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from trl.trainer.dpo_config import DPOConfig

from rlpath.core.errors import InputError
from rlpath.core.files import read_json_lines, write_atomic
from rlpath.core.seeding import derive
from rlpath.core.types import Decoding, ExampleSet, Preference, ProblemSet, Sampler
from rlpath.envs.preferences import pairs_of_judged
from rlpath.evals.compare.likelihood import Likelihood, preference_finding
from rlpath.evals.contamination.screen import OnHit, screen
from rlpath.evals.measure.evaluation import complete_and_verify, read_evaluation
from rlpath.models.chat import thinking_options
from rlpath.models.shared import asked_by_main
from rlpath.posttrain.experiment import (
    Notes,
    RunContext,
    broadcast,
    check_prompt_lengths,
    last_checkpoint,
    not_packed_note,
    save_model,
    start_run,
    train_to_the_end,
)
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
from rlpath.posttrain.tuning_settings import ExaminedSettings
from rlpath.rewards.combine.named import VerifierName, verifier_named, verifiers_of
from rlpath.runs.provenance import describe_data
from rlpath.runs.run_folder import RunFolder

CHUNK = 32


@dataclass(frozen=True, kw_only=True)
class DPOSettings(ExaminedSettings):
    beta: float = 0.1
    """β, the scale of the implicit reward: the larger, the closer the policy stays to the reference"""
    loss: Literal["sigmoid", "ipo", "robust", "hinge"] = "sigmoid"
    """sigmoid is DPO's own; ipo does not run away where pairs are certain; robust expects flipped labels"""
    label_smoothing: float = 0.0
    """share of flipped labels that the robust loss assumes"""
    prompts: int = 320
    """training problems that are sampled to make pairs, where a verifier makes them"""
    samples: int = 8
    """sampled answers of each of them, at temperature 1"""
    pairs_per_prompt: int = 4
    """at most so many pairs of one problem"""
    train_verifier: VerifierName = "own"
    """what makes the training pairs: the verifier that belongs to the problems, or another"""
    eval_verifier: VerifierName = "own"
    """what judges held-out pairs and the evaluation: choose another than training's to see what it does not accept"""

    def check(self, processes: int) -> None:
        """Refuse impossible sizes before anything is loaded; raises `InputError` naming the field."""
        super().check(processes)
        for name, least in (("prompts", 1), ("samples", 2), ("pairs_per_prompt", 1)):
            if getattr(self, name) < least:
                raise InputError(f"--{name.replace('_', '-')} {getattr(self, name)} must be at least {least}")
        if not self.beta > 0 or not 0 <= self.label_smoothing < 0.5:
            raise InputError("--beta must be positive and --label-smoothing at least 0 and below 0.5")
        if self.label_smoothing and self.loss != "robust":
            raise InputError(f"--label-smoothing has no part in --loss {self.loss}: choose --loss robust")


def run_dpo_on_problems(
    recipe: str, settings: DPOSettings, train: ProblemSet, held_out: ProblemSet, *, on_hit: OnHit = "flag"
) -> None:
    """Run or resume `recipe` on pairs that a verifier makes: that of `train`, or the one the settings name.

    The held-out pairs and the evaluation are judged by that of `held_out`, or the one named for it. Raises
    `InputError` as `pairs_of_judged`.
    """
    train = replace(train, verifier=verifier_named(settings.train_verifier, train.verifier))
    held_out = replace(held_out, verifier=verifier_named(settings.eval_verifier, held_out.verifier))
    train, overlap = screen(train, held_out, on_hit=on_hit)
    facts = {"verifiers": verifiers_of(train.verifier, held_out.verifier), "contamination": overlap}
    context = start_run(recipe, settings, [train, held_out], facts)
    if context is None:
        return
    tokenizer = tokenizer_for(context, settings, Notes(None))
    asked = train.problems[: settings.prompts]
    check_prompt_lengths(context, asked, settings, tokenizer, thinking_options(settings.thinking))
    examination = Examination.start(context, held_out, settings, tokenizer)
    with asked_by_main(examination.sampler) as everyone:
        if everyone is not None and context.run is not None:
            _sample(context.run, everyone, train, settings)
    examination.rest()
    context.state.wait_for_everyone()
    # Other processes read what the main one sampled.
    (folder,) = broadcast([None if context.run is None else str(context.run.path / "evaluations")], context.state)
    sampled, before = read_json_lines(Path(folder) / "pairs.jsonl"), read_evaluation(Path(folder) / "before.jsonl")
    judged = [asdict(sample) for sample in before.of("sample")]
    sides = (
        _pairs(train, "train", sampled, settings),
        # One pair a problem: the held-out pairs are then independent, as their interval takes them to be.
        _pairs(held_out, "validation", judged, replace(settings, pairs_per_prompt=1)),
    )
    _train(context, settings, *sides, examination, {"generated_tokens": sum(row["tokens"] for row in sampled)})


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
    made = pairs_of_judged(rows, per_prompt=settings.pairs_per_prompt, seed=settings.seed, name=f"the {split} {name}")
    return ExampleSet(name, split, tuple(made), f"sampled from {settings.model}")


def _sample(run: RunFolder, sampler: Sampler, train: ProblemSet, settings: DPOSettings) -> None:
    """Sample and judge training problems into `evaluations/pairs.jsonl`, once a run."""
    path = run.path / "evaluations" / "pairs.jsonl"
    if path.exists():
        return
    asked = train.problems[: settings.prompts]
    if len(asked) < settings.prompts:
        raise InputError(f"--prompts {settings.prompts}: {train.name} has only {len(asked)} training problems")
    rows: list[dict[str, Any]] = []
    for start in range(0, len(asked), CHUNK):
        seed = derive(settings.seed, "pairs", start)
        decoding = Decoding(settings.max_completion_length, temperature=1.0, n=settings.samples, seed=seed)
        rows += [
            asdict(row) for row in complete_and_verify(sampler, train, asked[start : start + CHUNK], decoding, "sample")
        ]
        print(f"sampling pairs: {min(start + CHUNK, len(asked))}/{len(asked)} problems", flush=True)
    write_atomic(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


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
    conclude(context, examination, [finding], save_model(context.run, trainer, settings.model))


def _likelihoods(trainer: DPOTrainer, pairs: Sequence[TokenPair]) -> list[Likelihood]:
    """Chosen and rejected in turn."""
    answers = [row for pair in pairs for row in (pair.chosen, pair.rejected)]
    logprobs = [value for both in pair_logprobs(trainer, pairs) for value in both]
    return [Likelihood(row.id, value, len(row.answer)) for row, value in zip(answers, logprobs, strict=True)]


def _paired(rows: Sequence[Likelihood]) -> list[tuple[Likelihood, Likelihood]]:
    return list(zip(rows[::2], rows[1::2], strict=True))
