"""One supervised fine-tuning experiment: held-out loss and problems before, train, and after."""

from __future__ import annotations

from typing import Any

from trl.trainer.sft_config import SFTConfig

from rlpath.core.types import Demonstration, ExampleSet, ProblemSet
from rlpath.evals.compare.likelihood import Likelihood, loss_finding
from rlpath.evals.contamination.screen import OnHit, screen
from rlpath.posttrain.experiment import (
    Notes,
    RunContext,
    last_checkpoint,
    not_packed_note,
    save_model,
    start_run,
    train_to_the_end,
)
from rlpath.posttrain.scores import answer_logprobs
from rlpath.posttrain.tokens import TokenRow, encode_demonstration, in_order_of_use
from rlpath.posttrain.trainers import SFTTrainer
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


def run_sft(
    recipe: str,
    settings: ExaminedSettings,
    train: ExampleSet[Demonstration],
    held_out: ExampleSet[Demonstration],
    problems: ProblemSet | None = None,
    *,
    on_hit: OnHit = "flag",
) -> None:
    """Run or resume `recipe`: fit the answers of `train`, measure those of `held_out`, complete `problems`.

    Raises `InputError` for whatever the user can mend, before any expensive work where possible.
    """
    train, overlap = screen(train, problems, held_out, on_hit=on_hit)
    data = [train, held_out, *([problems] if problems else [])]
    context = start_run(recipe, settings, data, {"contamination": overlap})
    if context is None:
        return
    check_max_length(context, settings)
    notes = Notes(context.run)
    tokenizer = tokenizer_for(context, settings, notes)
    rows = rows_of(train, encode_demonstration, tokenizer, settings, notes)
    kept_out = rows_of(held_out, encode_demonstration, tokenizer, settings, notes)
    examination = Examination.start(context, problems, settings, tokenizer) if problems else None
    if examination is not None:
        examination.rest()
    context.state.wait_for_everyone()
    fit(context, settings, tokenizer, notes, rows, kept_out, examination)


def fit(
    context: RunContext,
    settings: ExaminedSettings,
    tokenizer: Any,
    notes: Notes,
    rows: list[TokenRow],
    kept_out: list[TokenRow],
    examination: Examination | None,
) -> None:
    """Train on the answers of `rows`, from the last whole checkpoint; measure `kept_out`, if any; end the run."""
    folder, checkpoint = last_checkpoint(context.run, settings.root, context.state)
    trainer = SFTTrainer(
        base_model(context, settings),
        in_order_of_use(rows, settings.steps * settings.batch, settings.seed),
        args=SFTConfig(**settings.trl(folder, context.state.num_processes)),
        tokenizer=tokenizer,
        peft_config=settings.lora(),
    )
    notes.add(*not_packed_note(trainer))
    before = measured(context, "held_out_before", lambda: _likelihoods(trainer, kept_out)) if kept_out else []
    train_to_the_end(trainer, context.run, checkpoint)
    after = measured(context, "held_out_after", lambda: _likelihoods(trainer, kept_out)) if kept_out else []
    findings = [loss_finding(before, after, settings.seed)] if kept_out else []
    conclude(context, examination, findings, save_model(context.run, trainer))


def _likelihoods(trainer: SFTTrainer, rows: list[TokenRow]) -> list[Likelihood]:
    found = answer_logprobs(trainer, rows)
    return [Likelihood(row.id, logprob, len(row.answer)) for row, logprob in zip(rows, found, strict=True)]
