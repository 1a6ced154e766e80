"""One line that says how far the runs are, read from what they log; on a terminal it is written over, in a file not."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from rlpath.runs.run_folder import METRICS

_TAIL = 4096
_WIDTH = 110


def last_step(run: Path) -> int:
    """The last step a run has logged; 0 before the first."""
    path = run / METRICS
    if not path.exists():
        return 0
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL))
        lines = file.read().split(b"\n")[:-1]
    return int(json.loads(lines[-1])["step"]) if lines else 0


class Progress:
    """While it is entered, shows the share of `total` steps that each of `runs` (name → folder) has done.

    Once a second on a terminal, once a minute elsewhere; runs that have not begun or are finished are left out.
    The time left is at the speed seen so far.
    """

    def __init__(self, runs: Mapping[str, Path], total: int) -> None:
        self.runs, self.total = runs, total
        self._over = sys.stderr.isatty()
        self._ended = threading.Event()
        self._seen: dict[str, tuple[float, int]] = {}
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Progress:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._clear()

    def say(self, text: str) -> None:
        """Print a line that stays."""
        self._clear()
        print(text, flush=True)

    def line(self) -> str:
        """How far everybody is."""
        finished = sum((run / "finished.json").exists() for run in self.runs.values())
        steps = {name: last_step(run) for name, run in self.runs.items() if not (run / "finished.json").exists()}
        running = ", ".join(f"{name} {step / self.total:.0%}" for name, step in steps.items() if step)
        if left := self._left(steps):
            running += f", {left} left"
        done = f"{finished} of {len(self.runs)} finished" if len(self.runs) > 1 else ""
        return "; ".join(part for part in (done, running) if part)

    def _left(self, steps: Mapping[str, int]) -> str:
        """Time that the runs now going on still need at the speed seen so far; the slowest counts."""
        now, seconds = time.monotonic(), 0.0
        for name, step in steps.items():
            if not step:
                continue
            began, first = self._seen.setdefault(name, (now, step))
            if step > first:
                seconds = max(seconds, (self.total - step) * (now - began) / (step - first))
        minutes, rest = divmod(round(seconds), 60)
        return "" if not seconds else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"

    def _watch(self) -> None:
        while not self._ended.wait(1.0 if self._over else 60.0):
            line = f"\r\x1b[K{self.line()[:_WIDTH]}" if self._over else f"{self.line()}\n"
            print(line, end="", file=sys.stderr, flush=True)

    def _clear(self) -> None:
        if self._over:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
