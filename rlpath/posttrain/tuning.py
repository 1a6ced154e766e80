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
from rlpath.models.load import context_length, load_model
from rlpath.models.rollouts import PolicySampler, choose_backend, load_sampler
from rlpath.models.weights import sampler_weights
from rlpath.posttrain.experiment import LONGEST_PROMPT, Begun, Notes, check_prompt_lengths, evaluate_problems
from rlpath.posttrain.tokens import TokenPair, TokenRow, that_fit
from rlpath.posttrain.tuning_settings import ExaminedSettings, TuningSettings

Row = TypeVar("Row", TokenRow, TokenPair)


def check_max_length(begun: Begun, settings: TuningSettings) -> None:
    """Refuse a limit that the model cannot read; raises `InputError`."""
    window = context_length(begun.model)
    if window is not None and settings.max_length > window:
        raise InputError(f"--max-length {settings.max_length} is more than the {window} tokens that the model can read")


def rows_of(
    examples: ExampleSet[Any], encode: Callable[[Any, Any], Row], tokenizer: Any, max_length: int, notes: Notes
) -> list[Row]:
    """The examples as tokens, without those longer than `max_length`, of which `notes` tells."""
    what = f"{examples.split} examples of {examples.name}"
    rows, left_out = that_fit([encode(tokenizer, example) for example in examples.examples], max_length, what)
    notes.add(*examples.left_out, *left_out)
    return rows


def measured(begun: Begun, name: str, measure: Callable[[], list[Likelihood]]) -> list[Likelihood]:
    """A measurement of held-out answers, from its file where an earlier start of this run made it.

    Made on every process, for the model may be sharded; kept by the main one.
    """
    path = None if begun.run is None else begun.run.path / "evaluations" / f"{name}.jsonl"
    if begun.state.num_processes == 1 and path is not None and path.exists():
        return read_likelihoods(path)
    rows = measure()
    if path is not None:
        write_likelihoods(path, rows)
    return rows


@dataclass
class Examination:
    """The evaluation of held-out problems before and after, on the main process alone."""

    begun: Begun
    problems: ProblemSet
    settings: ExaminedSettings
    sampler: PolicySampler | None
    before: Evaluation | None = None

    @classmethod
    def begin(cls, begun: Begun, problems: ProblemSet, settings: ExaminedSettings) -> Examination:
        """Load the sampler and evaluate the model as it is given."""
        if begun.run is None:
            return cls(begun, problems, settings, None)
        check_prompt_lengths(begun, problems.problems, settings)
        sampler = load_sampler(
            choose_backend(settings.rollouts),
            begun.model,
            max_length=LONGEST_PROMPT + settings.max_completion_length,
            dtype=settings.dtype,
            device=str(begun.state.device),
            gpu_memory=settings.gpu_memory,
        )
        before = evaluate_problems(begun.run, "before", sampler, problems, settings)
        return cls(begun, problems, settings, sampler, before)

    def compare(self, model: Path) -> Comparison | None:
        """Evaluate what was saved in `model`, compare and write the verdict."""
        run = self.begun.run
        if run is None or self.sampler is None or self.before is None:
            return None
        self.sampler.load_weights(sampler_weights(saved_policy(self.begun.model, model, self.settings)))
        after = evaluate_problems(run, "after", self.sampler, self.problems, self.settings)
        assert after is not None
        comparison = compare(self.before, after, self.settings.seed)
        comparison.save(run.path / "evaluations" / "verdict.json")
        return comparison


def saved_policy(base: Path, saved: Path, settings: TuningSettings) -> Any:
    """The policy that a run saved: its adapter on the model it started from, or all its weights.

    After QLoRA this is the adapter on the weights before quantisation, which is what will be served.
    """
    if settings.lora_rank == 0:
        return load_model(saved, settings.dtype)
    model = PeftModel.from_pretrained(load_model(base, settings.dtype), str(saved))
    return model.eval()


def conclude(begun: Begun, examination: Examination | None, findings: Sequence[Finding], model: Path | None) -> None:
    """Evaluate the saved model, write findings, report and card, and mark the run finished."""
    run = begun.run
    if run is not None and model is not None:
        comparison = examination.compare(model) if examination else None
        write_findings(run.path, findings)
        for finding in findings:
            print(finding.sentence)
        if comparison is not None:
            print(comparison.sentence)
        write_card(run.path)
        run.mark_finished()
        print(f"report: {write_report(run.path)}")
    begun.state.wait_for_everyone()


def base_model(begun: Begun, settings: TuningSettings) -> Any:
    """The model to train, in the precision it trains in."""
    options = settings.load_options()
    if "quantization_config" in options:
        from peft import prepare_model_for_kbit_training

        return prepare_model_for_kbit_training(
            load_model(begun.model, **options), use_gradient_checkpointing=settings.gradient_checkpointing
        )
    return load_model(begun.model, **options)
