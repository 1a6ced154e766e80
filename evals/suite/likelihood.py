"""Multiple choice by likelihood: of a question's options the one that the model finds most probable, a byte at a time.

The text is the template with the bare question, the options its continuations, each after a space; sums of
log-probabilities are divided by the option's bytes, so that long options are not at a loss and two tokenizers can be
compared. A sampled answer is an option drawn by these scores at the decoding's temperature.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rlpath.core.errors import InputError
from rlpath.core.seeding import derive
from rlpath.core.types import Completion, Decoding, Problem
from rlpath.evals.suite.task import Exemplar, Template, TemplatedSampler

if TYPE_CHECKING:
    import torch

BATCH = 16


class Choosing(TemplatedSampler):
    """A sampler that chooses among a question's options; its completions are their letters."""

    def __init__(
        self, sampler: Any, template: Template, exemplars: Sequence[Exemplar], problems: Sequence[Problem]
    ) -> None:
        super().__init__(sampler, template, exemplars)
        without = next((problem.id for problem in problems if "options" not in problem.meta), None)
        if without is not None:
            raise InputError(f"template {template.name} chooses among options, and problem {without} has none")
        if not hasattr(sampler, "continuation_logprobs"):
            raise InputError(f"template {template.name} needs log-probabilities, which an endpoint does not give")
        self._by_prompt: Mapping[str, int] = {problem.prompt: at for at, problem in enumerate(problems)}
        self._problems = problems

    def encode(self, prompt: str) -> list[int]:
        """The number of the problem: what is scored is put together in `generate`."""
        return [self._by_prompt[prompt]]

    def generate(self, prompts: Sequence[Sequence[int]], decoding: Decoding) -> list[list[Completion]]:
        """The most probable option's letter; where the temperature is not 0, letters drawn by the options' scores."""
        self.calls += 1
        asked = [self._problems[number] for (number,) in prompts]
        pairs = [
            (self.text(problem.meta["stem"]), f" {option}") for problem in asked for option in problem.meta["options"]
        ]
        sums = iter(self.sampler.continuation_logprobs(pairs))  # type: ignore[attr-defined]
        chosen = []
        for index, problem in enumerate(asked):
            scores = [next(sums) / len(option.encode()) for option in problem.meta["options"]]
            chosen.append([_letter(at) for at in _choices(scores, decoding, index)])
        return chosen


def _choices(scores: Sequence[float], decoding: Decoding, index: int) -> list[int]:
    """Which options are chosen, one for each completion."""
    if decoding.temperature == 0:
        return [max(range(len(scores)), key=lambda at: scores[at])] * decoding.n
    import torch

    weights = torch.tensor(scores, dtype=torch.float64).div(decoding.temperature).softmax(0).tolist()
    return random.Random(derive(decoding.seed, "choice", index)).choices(range(len(scores)), weights, k=decoding.n)


def _letter(at: int) -> Completion:
    return Completion(chr(ord("A") + at), (), (), "stop")


def continuation_logprobs(model: Any, tokenizer: Any, pairs: Sequence[tuple[str, str]]) -> list[float]:
    """Log-probability (nats) of each continuation after its context, by the tokens of both read as one text."""
    from rlpath.evals.contamination.token_scores import score_tokens

    start = [tokenizer.bos_token_id] if tokenizer.bos_token_id is not None else [tokenizer.eos_token_id]
    texts, counts = [], []
    for context, continuation in pairs:
        before = tokenizer(context, add_special_tokens=False)["input_ids"]
        whole = tokenizer(context + continuation, add_special_tokens=False)["input_ids"]
        texts.append([*start, *whole])
        # Where the border of the two is no border of tokens, the token across it is the continuation's.
        shared = next(
            (at for at, pair in enumerate(zip(before, whole, strict=False)) if pair[0] != pair[1]), len(before)
        )
        counts.append(len(whole) - min(shared, len(whole) - 1))

    def logits_of(ids: torch.Tensor) -> torch.Tensor:
        return model(ids.to(model.device)).logits.cpu()

    scores = score_tokens(logits_of, texts, batch=BATCH)
    return [float(one.logprobs[-count:].sum()) for one, count in zip(scores, counts, strict=True)]
