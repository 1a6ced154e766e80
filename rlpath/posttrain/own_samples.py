"""The model's own samples of training problems, verified: what preference pairs and rejection sampling are made of."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rlpath.core.errors import InputError
from rlpath.core.files import read_json_lines, write_atomic
from rlpath.core.seeding import derive
from rlpath.core.types import Decoding, ProblemSet, Sampler
from rlpath.evals.contamination.screen import OnHit, screen
from rlpath.evals.measure.evaluation import complete_and_verify
from rlpath.models.chat import thinking_options
from rlpath.models.shared import asked_by_main
from rlpath.posttrain.experiment import Notes, RunContext, broadcast, check_prompt_lengths, start_run
from rlpath.posttrain.tuning import Examination, tokenizer_for
from rlpath.posttrain.tuning_settings import ExaminedSettings
from rlpath.rewards.combine.named import VerifierName, verifier_named, verifiers_of
from rlpath.runs.run_folder import RunFolder

CHUNK = 32


@dataclass(frozen=True, kw_only=True)
class OwnSamplesSettings(ExaminedSettings):
    prompts: int = 320
    """training problems that are sampled, where a verifier makes the data"""
    samples: int = 8
    """sampled answers of each of them, at temperature 1"""
    train_verifier: VerifierName = "own"
    """what verifies the training samples: the verifier that belongs to the problems, or another"""
    eval_verifier: VerifierName = "own"
    """what verifies the evaluation: choose another than training's to see what it does not accept"""

    def least(self) -> Mapping[str, float]:
        return {**super().least(), "prompts": 1, "samples": 1}


@dataclass(frozen=True)
class OwnSamples:
    """A run that was started, and its verified samples: rows as `Sample` has fields."""

    context: RunContext
    train: ProblemSet
    held_out: ProblemSet
    examination: Examination
    rows: list[dict[str, Any]]
    evaluations: Path

    @property
    def generated_tokens(self) -> int:
        """Tokens that were sampled to learn from."""
        return sum(row["tokens"] for row in self.rows)


def start_with_own_samples(
    recipe: str, settings: OwnSamplesSettings, train: ProblemSet, held_out: ProblemSet, *, on_hit: OnHit = "flag"
) -> OwnSamples | None:
    """Start or resume `recipe`: evaluate the model as it is given and sample training problems; None if finished.

    The verifier of `train` verifies the samples, that of `held_out` the evaluation, or those that the settings name.
    Raises `InputError` for whatever the user can mend, before any expensive work where possible.
    """
    train = replace(train, verifier=verifier_named(settings.train_verifier, train.verifier))
    held_out = replace(held_out, verifier=verifier_named(settings.eval_verifier, held_out.verifier))
    train, overlap = screen(train, held_out, on_hit=on_hit)
    if len(train.problems) < settings.prompts:
        have = len(train.problems)
        raise InputError(f"--prompts {settings.prompts}: {train.name} has only {have} training problems")
    facts = {"verifiers": verifiers_of(train.verifier, held_out.verifier), "contamination": overlap}
    context = start_run(recipe, settings, [train, held_out], facts)
    if context is None:
        return None
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
    (found,) = broadcast([None if context.run is None else str(context.run.path / "evaluations")], context.state)
    rows = read_json_lines(Path(found) / "own_samples.jsonl")
    return OwnSamples(context, train, held_out, examination, rows, Path(found))


def _sample(run: RunFolder, sampler: Sampler, train: ProblemSet, settings: OwnSamplesSettings) -> None:
    """Sample and verify into `evaluations/own_samples.jsonl`, a chunk a file until all are there."""
    whole = run.path / "evaluations" / "own_samples.jsonl"
    if whole.exists():
        return
    asked = train.problems[: settings.prompts]
    chunks: list[Path] = []
    for start in range(0, len(asked), CHUNK):
        chunk = whole.with_name(f"own_samples-{start}.jsonl")
        chunks.append(chunk)
        if not chunk.exists():
            seed = derive(settings.seed, "pairs", start)
            decoding = Decoding(settings.max_completion_length, temperature=1.0, n=settings.samples, seed=seed)
            found = complete_and_verify(sampler, train, asked[start : start + CHUNK], decoding, "sample")
            write_atomic(chunk, _lines([asdict(row) for row in found]))
        print(f"sampling training problems: {min(start + CHUNK, len(asked))}/{len(asked)}", flush=True)
    write_atomic(whole, "".join(chunk.read_text(encoding="utf-8") for chunk in chunks))
    for chunk in chunks:
        chunk.unlink()


def _lines(rows: Sequence[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
