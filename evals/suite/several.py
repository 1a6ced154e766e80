"""Several processes share the questions: the main one runs the suite, and every call is divided among all.

    torchrun --nproc_per_node 8 $(which rlpath) eval --model …
    accelerate launch --num_processes 8 $(which rlpath) eval --model …

The figures are those of one process: the draws of a completion depend on its question's number, not on who answers it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rlpath.core.types import Completion, Decoding
from rlpath.evals.suite.subject import LazySampler

if TYPE_CHECKING:
    from accelerate import PartialState

TIMEOUT = timedelta(hours=12)
"""How long a process waits for the main one, which also verifies answers."""
Job = tuple[str, dict[str, Any], list[Any], dict[str, Any]]
"""A method, what the sampler is made of, the items, and the method's further arguments."""


class _Group:
    """The processes of this command, once they share its questions."""

    state: PartialState | None = None
    dividing = False


@contextmanager
def shared_questions() -> Iterator[bool]:
    """True on the one process that is to run the suite; the others answer with it, and come here when it is done."""
    from rlpath.runs.cpu import start_all_processes

    start_all_processes()
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield True
        return
    import torch
    from accelerate import PartialState

    _Group.state = PartialState(cpu=not torch.cuda.is_available(), timeout=TIMEOUT)
    try:
        if not _Group.state.is_main_process:
            _serve()
        yield _Group.state.is_main_process
    finally:
        # One that failed in the middle of a call leaves the others waiting there: the launcher ends them.
        if _Group.state.is_main_process and not _Group.dividing:
            _agree(None)
        _Group.state = None


def sampler_of(**made_of: Any) -> LazySampler:
    """A sampler as `LazySampler` takes its arguments; where processes share the questions, one that divides them."""
    return LazySampler(**made_of) if _Group.state is None else DividedSampler(**made_of)


class DividedSampler(LazySampler):
    """On the main process: each call is divided among all processes, every one with the weights of its own."""

    def __init__(self, **made_of: Any) -> None:
        super().__init__(**made_of)
        self._made_of = made_of

    def generate(
        self, prompts: Sequence[Sequence[int]], decoding: Decoding, *, first: int = 0, stop: Sequence[str] = ()
    ) -> list[list[Completion]]:
        """Completions of the prompts, in their order."""
        assert not first
        own = super().generate
        job: Job = ("generate", self._made_of, list(prompts), {"decoding": decoding, "stop": stop})
        return _divide(job, lambda part, first, **more: own(part, first=first, **more))

    def continuation_logprobs(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Log-probabilities of the continuations, in their order."""
        own = super().continuation_logprobs
        return _divide(("continuation_logprobs", self._made_of, list(pairs), {}), lambda part, first: own(part))


def _divide(job: Job, own: Callable[..., list[Any]]) -> list[Any]:
    """What all processes make of the job; called on the main one."""
    _Group.dividing = True
    found = _answer(_agree(job), own)
    _Group.dividing = False
    return found


def _serve() -> None:
    """Answer what the main process asks until it is done, one model at a time."""
    sampler, made_of = None, None
    while (job := _agree(None)) is not None:
        if sampler is None or job[1] != made_of:
            sampler = None  # gives its memory back first
            made_of = job[1]
            sampler = LazySampler(**made_of)
        if job[0] == "generate":
            generate = sampler.generate
            _answer(job, lambda part, first, g=generate, **more: g(part, first=first, **more))
        else:
            score = sampler.continuation_logprobs
            _answer(job, lambda part, first, s=score: s(part))


def _agree(job: Job | None) -> Any:
    """The main process's job, on every process."""
    from rlpath.models.shared import told_by_main

    return told_by_main(job)


def _answer(job: Job, own: Callable[..., list[Any]]) -> list[Any]:
    """What all processes together make of the job."""
    from rlpath.models.shared import divide

    assert _Group.state is not None
    _, _, items, more = job
    return divide(items, _Group.state, lambda part, first: own(part, first, **more))
