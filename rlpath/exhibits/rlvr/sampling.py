"""Samples of every model of the study on the same held-out problems, and how far each has moved from its start.

Files lie in `samples/<arm>/seed-<k>/` of the study's folder: `hot.jsonl` (temperature 1, greedy completions too),
`cool.jsonl` (temperature 0.6), `moved.json`, `retest.jsonl` and `retest_start.jsonl`. Each is begun once and continued.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel

from rlpath.core.files import read_json, write_atomic
from rlpath.core.seeding import derive
from rlpath.core.types import Decoding, ProblemSet, Sampler
from rlpath.evals.measure.evaluation import Evaluation, Mode, evaluate, read_evaluation
from rlpath.models.load import load_model
from rlpath.models.rollouts import LoadedSampler
from rlpath.models.weights import sampler_weights
from rlpath.posttrain.policy_model import PolicyModel, completion_rectangles, frozen_model
from rlpath.posttrain.rollout import make_rollout

COOL = 0.6
HOT_FILE, COOL_FILE, MOVED_FILE = "hot.jsonl", "cool.jsonl", "moved.json"
RETEST_FILE, RETEST_START_FILE = "retest.jsonl", "retest_start.jsonl"
SAMPLED: tuple[Mode, ...] = ("sample",)
CHUNK = 8
"""Problems that are sampled before they are written down."""
MOVED_SAMPLES = 8
"""Completions of each problem from which the divergence is estimated."""


@dataclass(frozen=True)
class SamplingPlan:
    """What every model is asked: problems, samples of each at temperature 1 and 0.6, and again for a retest."""

    problems: ProblemSet
    samples: int
    cool_samples: int
    max_tokens: int

    def decoding(self, temperature: float, n: int, *purpose: str | int) -> Decoding:
        """A decoding whose draws are its purpose's own."""
        return Decoding(self.max_tokens, temperature, n=n, seed=derive(0, "study", *purpose))


@dataclass(frozen=True)
class Moved:
    """How far a model is from its start on completions of its own; nats, tokens; means over completions.

    `kl_P` is the divergence KL(model ‖ start) of a completion, by problem; `entropy` is of a token.
    """

    kl_P: tuple[float, ...]
    entropy: float
    tokens: float


class Start:
    """The model that arms start from: its weights for the sampler, and its scores of what others wrote."""

    def __init__(self, path: Path, dtype: Any, device: torch.device) -> None:
        self.path, self.dtype = path, dtype
        self._model: Any = load_model(path, dtype)
        self._scorer: PolicyModel = frozen_model(self._model, 1.0, device)
        self._device = device

    def weights(self) -> Iterable[tuple[str, Any]]:
        """Every weight by its name."""
        return ((name, parameter.detach()) for name, parameter in self._model.named_parameters())

    def trained(self, adapter: Path) -> Iterable[tuple[str, Any]]:
        """The weights that differ after training, merged."""
        return sampler_weights(PeftModel.from_pretrained(load_model(self.path, self.dtype), str(adapter)))

    @torch.no_grad()
    def logprobs(self, prompts: Sequence[Sequence[int]], groups: Sequence[Sequence[Any]]) -> list[list[float]]:
        """The summed log-probability of each completion of each prompt, in nats."""
        found = []
        for prompt, group in zip(prompts, groups, strict=True):
            rollout = make_rollout([prompt] * len(group), group, torch.zeros(len(group)), self._device)
            with torch.autocast(self._device.type, torch.bfloat16, enabled=self.dtype == "bfloat16"):
                scored = completion_rectangles(self._scorer, self._scorer, rollout.batch(), len(group))
            found.append((scored["logprobs"].float() * rollout.mask_B_T).sum(1).tolist())
        return found


def sample_model(sampler: Sampler, plan: SamplingPlan, folder: Path, *label: str | int) -> None:
    """The greedy and sampled completions of one model, each problem's at both temperatures."""
    greedy = Decoding(plan.max_tokens, temperature=0.0)
    hot, cool = (plan.decoding(t, n, *label, str(t)) for t, n in ((1.0, plan.samples), (COOL, plan.cool_samples)))
    evaluate(sampler, plan.problems, greedy, hot, path=folder / HOT_FILE, chunk=CHUNK)
    evaluate(sampler, plan.problems, greedy, cool, path=folder / COOL_FILE, modes=SAMPLED, chunk=CHUNK)


def measure_moved(sampler: LoadedSampler, start: Start, plan: SamplingPlan, folder: Path, *label: str | int) -> None:
    """The divergence of the sampler's model from `start` on completions of its own, into `moved.json`."""
    path = folder / MOVED_FILE
    if path.exists():
        return
    prompts = [sampler.encode(problem.prompt) for problem in plan.problems.problems]
    groups = sampler.generate(prompts, plan.decoding(1.0, MOVED_SAMPLES, *label, "moved"))
    theirs = start.logprobs(prompts, groups)
    own = [[sum(completion.logprobs) for completion in group] for group in groups]
    kl_P = [
        sum(a - b for a, b in zip(mine, other, strict=True)) / len(mine)
        for mine, other in zip(own, theirs, strict=True)
    ]
    tokens = sum(completion.length for group in groups for completion in group)
    count = sum(map(len, groups))
    found = Moved(tuple(kl_P), -sum(map(sum, own)) / tokens, tokens / count)
    write_atomic(path, json.dumps(asdict(found)) + "\n")


def read_moved(folder: Path) -> Moved | None:
    """What `measure_moved` found, None where nothing was measured."""
    path = folder / MOVED_FILE
    if not path.exists():
        return None
    row = read_json(path)
    return Moved(tuple(row["kl_P"]), row["entropy"], row["tokens"])


def newly_solved(start: Evaluation, trained: Evaluation) -> list[str]:
    """Ids of the problems that the start solved in none of its samples, and the trained model in at least one."""
    before, after = start.correct("sample"), trained.correct("sample")
    return [id for id, count in after.items() if count and not before[id]]


def retest(
    sampler: LoadedSampler,
    start: Start,
    adapter: Path,
    plan: SamplingPlan,
    start_folder: Path,
    folder: Path,
    *label: str | int,
) -> None:
    """Fresh samples of both models on the problems that only the trained one had solved; nothing where there are none.

    The first samples chose the problems, so they cannot also show the difference.
    """
    ids = newly_solved(read_evaluation(start_folder / HOT_FILE), read_evaluation(folder / HOT_FILE))
    if not ids:
        return
    few = replace(plan.problems, problems=tuple(p for p in plan.problems.problems if p.id in set(ids)))
    greedy = Decoding(plan.max_tokens, temperature=0.0)
    for file, weights in ((RETEST_FILE, start.trained(adapter)), (RETEST_START_FILE, start.weights())):
        sampler.load_weights(weights)
        decoding = plan.decoding(1.0, plan.samples, *label, file)
        evaluate(sampler, few, greedy, decoding, path=folder / file, modes=SAMPLED, chunk=CHUNK)
