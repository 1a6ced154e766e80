"""One reward-model experiment: train on pairs, then accuracy beside baselines, calibration, length, LLMBar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from peft import PeftModel, TaskType
from transformers import AutoModelForSequenceClassification
from trl.trainer.reward_config import RewardConfig

from rlpath.core.errors import InputError
from rlpath.core.seeding import derive, seed_everything
from rlpath.core.types import ExampleSet, Preference
from rlpath.evals.compare.pairs import (
    ScoredPair,
    accuracy_finding,
    adversarial_finding,
    calibration_finding,
    length_direction,
    length_finding,
)
from rlpath.evals.contamination.screen import OnHit, screen
from rlpath.posttrain.experiment import (
    Notes,
    last_checkpoint,
    not_packed_note,
    save_model,
    start_run,
    train_to_the_end,
)
from rlpath.posttrain.scores import rewards
from rlpath.posttrain.tokens import TokenPair, encode_preference, in_order_of_use
from rlpath.posttrain.trainers import RewardTrainer
from rlpath.posttrain.tuning import check_max_length, conclude, rows_of, tokenizer_for
from rlpath.posttrain.tuning_settings import TuningSettings

MERGED = "merged"
"""Folder of the run that holds base and adapter as one classifier, as `RewardModelReward` loads it."""


def run_reward_model(
    recipe: str,
    settings: TuningSettings,
    train: ExampleSet[Preference],
    held_out: ExampleSet[Preference],
    adversarial: Mapping[str, ExampleSet[Preference]],
    *,
    on_hit: OnHit = "flag",
) -> None:
    """Run or resume `recipe`. Raises `InputError` for whatever the user can mend."""
    if settings.quantize != "none":
        raise InputError(
            f"--quantize {settings.quantize} is for sft and dpo: a reward model's scoring head trains in full "
            "precision, and what is merged for use is not quantized; leave it out"
        )
    train, overlap = screen(train, held_out, *adversarial.values(), on_hit=on_hit)
    context = start_run(recipe, settings, [train, held_out, *adversarial.values()], {"contamination": overlap})
    if context is None:
        return
    check_max_length(context, settings)
    notes = Notes(context.run)
    tokenizer = tokenizer_for(context, settings, notes)

    def encoded(examples: ExampleSet[Preference]) -> list[TokenPair]:
        return rows_of(examples, encode_preference, tokenizer, settings, notes)

    rows, kept_out = encoded(train), encoded(held_out)
    tricky = {part: encoded(examples) for part, examples in adversarial.items()}
    folder, checkpoint = last_checkpoint(context.run, settings.root, context.state)
    trainer = RewardTrainer(
        load_scorer(context.model, settings, tokenizer.pad_token_id),
        in_order_of_use(rows, settings.steps * settings.batch, settings.seed),
        args=RewardConfig(**settings.trl(folder, context.state.num_processes)),
        tokenizer=tokenizer,
        peft_config=settings.lora(TaskType.SEQ_CLS),
    )
    notes.add(*not_packed_note(trainer))
    train_to_the_end(trainer, context.run, checkpoint)
    seen = scored(trainer, rows[: len(kept_out)])
    unseen = scored(trainer, kept_out)
    direction = length_direction(lengths(rows))
    findings = [
        accuracy_finding(lengths(rows), seen, unseen, train.name, settings.seed),
        calibration_finding(unseen, train.name),
        length_finding(unseen, direction, train.name),
    ]
    if tricky:
        parts = {part: scored(trainer, pairs) for part, pairs in tricky.items()}
        findings.append(adversarial_finding(parts, direction, settings.seed))
    model = save_model(context.run, trainer)
    if context.run is not None:
        save_merged(trainer, tokenizer, context.run.path / MERGED)
    conclude(context, None, findings, model)


def load_scorer(path: Path, settings: TuningSettings, pad_token_id: int) -> Any:
    """The model in `path` with a new head of one output in place of the vocabulary's, drawn by the seed."""
    seed_everything(derive(settings.seed, "reward head"), torch=True)
    model: Any = AutoModelForSequenceClassification.from_pretrained(path, num_labels=1, **settings.load_options())
    model.config.pad_token_id = pad_token_id
    return model


def scored(trainer: Any, pairs: Sequence[TokenPair]) -> list[ScoredPair]:
    """The pairs with the trainer's scores and their lengths."""
    return [_scored(pair, *scores) for pair, scores in zip(pairs, rewards(trainer, pairs), strict=True)]


def lengths(pairs: Sequence[TokenPair]) -> list[ScoredPair]:
    """The pairs with their lengths, unscored."""
    return [_scored(pair, 0.0, 0.0) for pair in pairs]


def _scored(pair: TokenPair, chosen: float, rejected: float) -> ScoredPair:
    prompt = ",".join(map(str, pair.chosen.prompt))
    return ScoredPair(pair.id, prompt, chosen, rejected, len(pair.chosen.answer), len(pair.rejected.answer))


def save_merged(trainer: Any, tokenizer: Any, folder: Path) -> None:
    """Save base and adapter as one sequence classifier. The trainer's model is used up."""
    policy = trainer.accelerator.unwrap_model(trainer.model)
    model = policy.merge_and_unload() if isinstance(policy, PeftModel) else policy
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
