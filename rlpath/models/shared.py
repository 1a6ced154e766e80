"""One sampler in each of several processes, asked by the main one: the prompts of a call are divided among them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object

from rlpath.core.types import Completion, Decoding, Sampler

Job = tuple[list[list[int]], Decoding, list[int] | None]


class SharedSampler:
    """Asks every process's own sampler; with the Hugging Face sampler the completions are those of one process."""

    def __init__(self, sampler: Any, state: PartialState) -> None:
        self.sampler = sampler
        self.state = state
        self.backend = sampler.backend
        # What an environment of several turns asks of a sampler.
        self.takes_numbers = getattr(sampler, "takes_numbers", False)
        self.tokenizer, self.system, self.options = (
            getattr(sampler, name, None) for name in ("tokenizer", "system", "options")
        )

    def encode(self, prompt: str) -> list[int]:
        return self.sampler.encode(prompt)

    def generate(
        self, prompts: Sequence[Sequence[int]], decoding: Decoding, *, numbers: Sequence[int] | None = None
    ) -> list[list[Completion]]:
        """Complete each prompt `decoding.n` times; called on the main process while the others `serve`.

        `numbers` decide the draws where some of an earlier call go on, as in the later turns of episodes.
        """
        job = ([list(prompt) for prompt in prompts], decoding, None if numbers is None else list(numbers))
        told_by_main(job)
        return self._complete(job)

    def serve(self) -> None:
        """Take part in what the main process asks until it is done."""
        while (job := told_by_main(None)) is not None:
            self._complete(job)

    def done(self) -> None:
        """Let the other processes go on."""
        told_by_main(None)

    def _complete(self, job: Job) -> list[list[Completion]]:
        prompts, decoding, numbers = job

        def complete(part: Sequence[Any], first: int) -> list[list[Completion]]:
            if numbers is None:
                return self.sampler.generate(part, decoding, first=first)
            return self.sampler.generate(part, decoding, numbers=numbers[first : first + len(part)])

        return divide(prompts, self.state, complete)


def told_by_main(job: Any) -> Any:
    """The main process's `job`, on every process; what the others give is not looked at."""
    told: list[Any] = broadcast_object_list([job])
    return told[0]


def divide(items: Sequence[Any], state: PartialState, answer: Callable[[Sequence[Any], int], list[Any]]) -> list[Any]:
    """What all processes make of `items`, in order: each calls `answer` with its part and the number of its first."""
    each = -(-len(items) // state.num_processes)
    first = min(state.process_index * each, len(items))
    part = items[first : first + each]
    return gather_object(answer(part, first) if part else [])


@contextmanager
def asked_by_main(sampler: Any) -> Iterator[Sampler | None]:
    """The sampler of all processes together on the main one; the others serve it meanwhile and get None.

    Every process must come here with its own `sampler`.
    """
    state = PartialState()
    if state.num_processes == 1:
        yield sampler
        return
    shared = SharedSampler(sampler, state)
    if not state.is_main_process:
        shared.serve()
        yield None
        return
    try:
        yield shared
    finally:
        shared.done()
