"""Many completions at once, over all cores, in order."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from types import TracebackType

from rlpath.core.types import Verdict, Verifier
from rlpath.runs.hardware import cores

_Item = tuple[str, str, str | None, bool]


class BatchVerifier:
    """Judges batches with one verifier in a pool of processes that is kept between batches.

    `workers` defaults to the cores this process may use. Verdicts come in the order of the completions. Batches
    smaller than `serial_below` are judged in this process, and so is everything in a daemonic process, which may not
    have children. The pool starts its processes afresh, so the verifier must be picklable and scripts need the usual
    `if __name__ == "__main__"`.

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
        items = list(zip(completions, golds, questions or [None] * n, truncated or [False] * n, strict=True))
        if self.workers == 1 or n < self.serial_below or multiprocessing.current_process().daemon:
            return _judge(self.verifier, items)
        size = max(1, -(-n // (4 * self.workers)))
        chunks = [items[start : start + size] for start in range(0, n, size)]
        parts = self._executor().map(_judge, [self.verifier] * len(chunks), chunks)
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

    def __enter__(self) -> BatchVerifier:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _judge(verifier: Verifier, items: Sequence[_Item]) -> list[Verdict]:
    return [verifier(c, gold, question=question, truncated=cut) for c, gold, question, cut in items]
