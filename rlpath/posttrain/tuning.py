"""What the experiments with TRL's SFT, DPO and reward trainers have in common.

The flow is that of `on_policy`: one run folder, resumable at every stage, the same evaluation of problems before and
after, a report; and a model card beside the saved adapter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from peft import PeftModel

from rlpath.core.errors import InputError
from rlpath.core.types import ExampleSet, ProblemSet
from rlpath.evals.compare.comparison import Comparison, compare
from rlpath.evals.compare.likelihood import Likelihood, read_likelihoods, write_likelihoods
from rlpath.evals.measure.evaluation import Evaluation
from rlpath.evals.measure.findings import Finding, write_findings
from rlpath.evals.report.card import write_card
from rlpath.evals.report.run_report import write_report
from rlpath.models.chat import ChatOptions, check_options, thinking_options, turn_end
from rlpath.models.load import context_length, load_model, load_tokenizer, pad_stands_in
from rlpath.models.rollouts import LoadedSampler, choose_backend, load_sampler
from rlpath.models.weights import sampler_weights
from rlpath.posttrain.experiment import (
    LONGEST_PROMPT,
    Notes,
    RunContext,
    broadcast,
    check_prompt_lengths,
    evaluate_problems,
)
from rlpath.posttrain.tokens import TokenPair, TokenRow, rows_within_length
from rlpath.posttrain.tuning_settings import ExaminedSettings, TuningSettings

Row = TypeVar("Row", TokenRow, TokenPair)


def check_max_length(context: RunContext, settings: TuningSettings) -> None:
    """Refuse a limit that the model cannot read; raises `InputError`."""
    window = context_length(context.model)
    if window is not None and settings.max_length > window:
        raise InputError(f"--max-length {settings.max_length} is more than the {window} tokens that the model can read")


def tokenizer_for(context: RunContext, settings: TuningSettings, notes: Notes) -> Any:
    """The model's tokenizer, with the chat template that the settings give; says what stands in for what is missing.

    Raises `InputError` where there is no template, or no token that could end an answer.
    """
    template = settings.template
    tokenizer = load_tokenizer(context.model, needs_chat=template is None)
    if template is not None:
        tokenizer.chat_template = template
    check_options(tokenizer, thinking_options(settings.thinking))
    if turn_end(tokenizer) is None:
        if tokenizer.eos_token is None:
            raise InputError("neither chat template nor tokenizer has a token that ends an answer: set eos_token there")
        notes.add(
            "the chat template writes no token after an answer, so a model would never learn to stop: the end token "
            f"{tokenizer.eos_token} is taught after each"
        )
    if pad_stands_in(tokenizer):
        notes.add(f"the tokenizer has no padding token: its end token {tokenizer.eos_token} pads, masked everywhere")
    return tokenizer


def rows_of(
    examples: ExampleSet[Any],
    encode: Callable[[Any, Any, ChatOptions], Row],
    tokenizer: Any,
    settings: TuningSettings,
    notes: Notes,
) -> list[Row]:
    """The examples as tokens, without those longer than the limit, of which `notes` tells."""
    what = f"{examples.split} examples of {examples.name}"
    options = thinking_options(settings.thinking)
    encoded = [encode(tokenizer, example, options) for example in examples.examples]
    rows, left_out = rows_within_length(encoded, settings.max_length, what)
    notes.add(*examples.left_out, *left_out)
    return rows


def measured(context: RunContext, name: str, measure: Callable[[], list[Likelihood]]) -> list[Likelihood]:
    """A measurement of held-out answers, from its file where an earlier start of this run made it.

    Made on every process, for the model may be sharded; kept by the main one.
    """
    path = None if context.run is None else context.run.path / "evaluations" / f"{name}.jsonl"
    if context.state.num_processes == 1 and path is not None and path.exists():
        return read_likelihoods(path)
    rows = measure()
    if path is not None:
        write_likelihoods(path, rows)
    return rows


@dataclass
class Examination:
    """The evaluation of held-out problems before and after: every process samples, the main one verifies."""

    context: RunContext
    problems: ProblemSet
    settings: ExaminedSettings
    sampler: LoadedSampler
    before: Evaluation | None = None

    @classmethod
    def start(
        cls, context: RunContext, problems: ProblemSet, settings: ExaminedSettings, tokenizer: Any
    ) -> Examination:
        """Load the sampler, on every process, and evaluate the model as it is given."""
        options = thinking_options(settings.thinking)
        check_prompt_lengths(context, problems.problems, settings, tokenizer, options)
        sampler = load_sampler(
            choose_backend(settings.rollouts),
            context.model,
            max_length=LONGEST_PROMPT + settings.max_completion_length,
            dtype=settings.dtype,
            device=str(context.state.device),
            gpu_memory=settings.gpu_memory,
            options=options,
            template=settings.template,
        )
        before = evaluate_problems(context.run, "before", sampler, problems, settings)
        return cls(context, problems, settings, sampler, before)

    def rest(self) -> None:
        """Give the GPU to the trainer until `compare`."""
        self.sampler.sleep()

    def compare(self, model: Path | None) -> Comparison | None:
        """Evaluate what the main process saved in `model`, compare and write the verdict; on every process."""
        (saved,) = broadcast([None if model is None else str(model)], self.context.state)
        self.sampler.wake()
        self.sampler.load_weights(sampler_weights(saved_policy(self.context.model, Path(saved), self.settings)))
        after = evaluate_problems(self.context.run, "after", self.sampler, self.problems, self.settings)
        if self.context.run is None or self.before is None or after is None:
            return None
        comparison = compare(self.before, after, self.settings.seed)
        comparison.save(self.context.run.path / "evaluations" / "verdict.json")
        return comparison


def saved_policy(base: Path, saved: Path, settings: TuningSettings) -> Any:
    """The policy that a run saved: its adapter on the model it started from, or all its weights.

    After QLoRA this is the adapter on the weights before quantization, which is what will be served.
    """
    if settings.lora_rank == 0:
        return load_model(saved, settings.dtype)
    model = PeftModel.from_pretrained(load_model(base, settings.dtype), str(saved))
    return model.eval()


def conclude(
    context: RunContext, examination: Examination | None, findings: Sequence[Finding], model: Path | None
) -> None:
    """Evaluate the saved model, write findings, report and card, and mark the run finished."""
    run = context.run
    comparison = examination.compare(model) if examination else None
    if run is not None:
        write_findings(run.path, findings)
        for finding in findings:
            print(finding.sentence)
        if comparison is not None:
            print(comparison.sentence)
        write_card(run.path)
        run.mark_finished()
        print(f"report: {write_report(run.path)}")
    context.state.wait_for_everyone()


def base_model(context: RunContext, settings: TuningSettings) -> Any:
    """The model to train, in the precision it trains in."""
    options = settings.load_options()
    if "quantization_config" in options:
        from peft import prepare_model_for_kbit_training

        return prepare_model_for_kbit_training(
            load_model(context.model, **options), use_gradient_checkpointing=settings.gradient_checkpointing
        )
    return load_model(context.model, **options)
