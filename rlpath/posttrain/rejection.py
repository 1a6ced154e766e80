"""Rejection-sampling fine-tuning: sample, keep what the verifier accepts, and imitate it (one round of ReST-EM).

The baseline of any gain by reinforcement learning: the same verifier and the same samples, without a policy gradient
(Singh et al. 2023, arXiv 2312.06585; Yuan et al. 2023, arXiv 2308.01825). A further round is a further run, from the
model that this one saved.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rlpath.core.errors import InputError
from rlpath.core.types import Demonstration, ExampleSet, ProblemSet, Turn
from rlpath.evals.contamination.screen import OnHit
from rlpath.posttrain.experiment import Notes
from rlpath.posttrain.own_samples import OwnSamplesSettings, start_with_own_samples
from rlpath.posttrain.sft import fit
from rlpath.posttrain.tokens import encode_demonstration
from rlpath.posttrain.tuning import check_max_length, rows_of, tokenizer_for
from rlpath.runs.provenance import describe_data


@dataclass(frozen=True, kw_only=True)
class RejectionSettings(OwnSamplesSettings):
    kept_per_prompt: int = 4
    """at most so many different accepted answers of one problem, so that easy problems do not fill the data"""

    def least(self) -> Mapping[str, float]:
        return {**super().least(), "kept_per_prompt": 1}


def run_rejection_sampling(
    recipe: str, settings: RejectionSettings, train: ProblemSet, held_out: ProblemSet, *, on_hit: OnHit = "flag"
) -> None:
    """Run or resume `recipe`: fit the model to those of its own answers that the verifier of `train` accepts.

    Raises `InputError` where no answer was accepted, and for whatever else the user can mend.
    """
    own = start_with_own_samples(recipe, settings, train, held_out, on_hit=on_hit)
    if own is None:
        return
    context = own.context
    check_max_length(context, settings)
    name = f"answers of {own.train.name} accepted by {type(own.train.verifier).__name__}"
    accepted = accepted_answers(own.rows, per_prompt=settings.kept_per_prompt, seed=settings.seed)
    if not accepted:
        raise InputError(
            f"no answer of {len(own.rows)} to {own.train.name} was accepted: there is nothing to imitate; take easier "
            "problems or more samples of each"
        )
    data = ExampleSet(name, "train", tuple(accepted), f"sampled from {settings.model}")
    notes = Notes(context.run)
    tokenizer = tokenizer_for(context, settings, notes)
    rows = rows_of(data, encode_demonstration, tokenizer, settings, notes)
    if context.run is not None:
        asked = len({row["problem_id"] for row in own.rows})
        kept = {"generated_tokens": own.generated_tokens, "sampled": len(own.rows), "kept": len(accepted)}
        context.run.write_json("accepted.json", kept | {"data": [describe_data(data)]})
        solved = len({answer.id.rpartition("/")[0] for answer in accepted})
        print(f"{len(accepted)} accepted answers to {solved} of {asked} training problems", flush=True)
    fit(context, settings, tokenizer, notes, rows, [], own.examination)


def accepted_answers(rows: Sequence[Mapping[str, Any]], *, per_prompt: int = 4, seed: int = 0) -> list[Demonstration]:
    """The different correct, whole answers among samples as they are written down, at most `per_prompt` a problem."""
    correct: dict[str, list[str]] = {}
    prompts: dict[str, str] = {}
    for row in rows:
        prompts[row["problem_id"]] = row["prompt"]
        texts = correct.setdefault(row["problem_id"], [])
        if str(row["status"]) == "correct" and row["completion"] not in texts:
            texts.append(row["completion"])
    return [
        Demonstration(f"{problem}/{number}", (Turn("user", prompts[problem]),), text)
        for problem, texts in correct.items()
        for number, text in enumerate(random.Random(f"{seed}/{problem}").sample(texts, min(per_prompt, len(texts))))
    ]
