"""Many completions at once, in order: in threads, or over all cores."""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from types import TracebackType
from typing import Any

from rlpath.core.errors import InputError
from rlpath.core.types import Status, Verdict, Verifier
from rlpath.runs.hardware import cores

_Item = tuple[str, str, str | None, bool]
_log = logging.getLogger(__name__)


def verify_completions(
    verifier: Verifier,
    completions: Sequence[str],
    golds: Sequence[str],
    *,
    questions: Sequence[str | None] | None = None,
    truncated: Sequence[bool] | None = None,
    workers: int | None = None,
) -> list[Verdict]:
    """The verdict on each completion, in order, from `workers` threads (default: the cores and two more).

    Threads let verifiers that wait for another process, as `CodeVerifier` does, wait together; for verifiers that
    compute in this process, `BatchVerifier` uses more cores. What a verifier raises is an `error` verdict and a line in
    the log, so that no completion ends a run; only InputError, which tells the user what to mend, is passed on.
    Raises ValueError where the sequences differ in length.
    """
    items = _items(completions, golds, questions, truncated)
    if len(items) < 2 or workers == 1:
        return [verify_one(verifier, item) for item in items]
    with ThreadPoolExecutor(min(len(items), workers or cores() + 2)) as pool:
        return list(pool.map(lambda item: verify_one(verifier, item), items))


def verify_one(verifier: Verifier, item: _Item) -> Verdict:
    """The verdict on a completion, gold, question and whether it was truncated; an `error` if the verifier raises."""
    completion, gold, question, truncated = item
    try:
        verdict = verifier(completion, gold, question=question, truncated=truncated)
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001 - the verifier may be anyone's, and the completion anything
        return verifier_error(f"{type(error).__name__}: {error}")
    if isinstance(verdict, Verdict):
        return verdict
    return verifier_error(f"the verifier returned a {type(verdict).__name__}, not a Verdict")


def verifier_error(reason: str) -> Verdict:
    """The verdict of a verifier that failed, which is written to the log."""
    _log.warning("a verifier failed: %s", reason[:300])
    return Verdict.of(Status.ERROR, reason=reason[:300])


def _items(
    completions: Sequence[str],
    golds: Sequence[str],
    questions: Sequence[str | None] | None,
    truncated: Sequence[bool] | None,
) -> list[_Item]:
    n = len(completions)
    return list(zip(completions, golds, questions or [None] * n, truncated or [False] * n, strict=True))


class BatchVerifier:
    """Judges batches with one verifier in a pool of processes that is kept between batches.

    `workers` defaults to the cores this process may use. Verdicts come in the order of the completions. Batches
    smaller than `serial_below` are judged in threads of this process, and so is everything in a daemonic process, which
    may not have children. The pool starts new processes, so the verifier must be picklable and scripts need the
    usual `if __name__ == "__main__"`. A pickled copy starts a pool of its own.

    >>> from rlpath.rewards.verifiers.number import NumberVerifier
    >>> with BatchVerifier(NumberVerifier()) as verify:
    ...     [verdict.score for verdict in verify(["#### 1", "#### 2"], ["1", "1"])]
    [1.0, 0.0]
    """

    def __init__(self, verifier: Verifier, *, workers: int | None = None, serial_below: int = 64) -> None:
        self.verifier = verifier
        self.workers = workers or cores()
        self.serial_below = serial_below
        self._pool: ProcessPoolExecutor | None = None

    def __call__(
        self,
        completions: Sequence[str],
        golds: Sequence[str],
        *,
        questions: Sequence[str | None] | None = None,
        truncated: Sequence[bool] | None = None,
    ) -> list[Verdict]:
        """One verdict per completion; raises ValueError where the sequences differ in length."""
        n = len(completions)
        if self.workers == 1 or n < self.serial_below or multiprocessing.current_process().daemon:
            return verify_completions(self.verifier, completions, golds, questions=questions, truncated=truncated)
        items = _items(completions, golds, questions, truncated)
        size = max(1, -(-n // (4 * self.workers)))
        chunks = [items[start : start + size] for start in range(0, n, size)]
        parts = self._executor().map(_verify_chunk, [self.verifier] * len(chunks), chunks)
        return [verdict for part in parts for verdict in part]

    def _executor(self) -> ProcessPoolExecutor:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(self.workers, mp_context=multiprocessing.get_context("spawn"))
        return self._pool

    def close(self) -> None:
        """End the processes of the pool."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_pool": None}

    def __enter__(self) -> BatchVerifier:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _verify_chunk(verifier: Verifier, items: Sequence[_Item]) -> list[Verdict]:
    completions, golds, questions, truncated = zip(*items, strict=True)
    return verify_completions(verifier, completions, golds, questions=questions, truncated=truncated)
