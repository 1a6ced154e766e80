"""How many trivial programs a second the code verifier judges: `python scripts/bench_sandbox.py`.

Prints, for each flavor of tests, verdicts per second over all threads, and the median and the slowest verdict. The
last line runs the same program in a bare Python process, without any protection, for comparison.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import tyro

from rlpath.core.errors import run_command
from rlpath.rewards.verifiers.code import CodeVerifier

PROGRAM = "def add(a, b):\n    return a + b\n"
SCRIPT = "print(sum(map(int, input().split())))\n"
FLAVORS = {
    "asserts (two boxes)": (PROGRAM, "assert add(1, 2) == 3\nassert add(2, 2) == 4"),
    "function cases": (PROGRAM, '{"function": "add", "cases": [[[1, 2], 3], [[2, 2], 4]]}'),
    "stdin and stdout": (SCRIPT, '[{"stdin": "1 2", "stdout": "3"}]'),
}


def bare() -> None:
    """One program in a process of its own."""
    subprocess.run([sys.executable, "-c", f"{PROGRAM}assert add(1, 2) == 3"], check=True)


def measure(task: Callable[[], object], count: int, threads: int) -> tuple[float, float, float]:
    """Tasks per second, and the median and largest seconds of one, over `count` tasks in `threads` threads."""

    def timed(_: int) -> float:
        start = time.perf_counter()
        task()
        return time.perf_counter() - start

    start = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        seconds = list(pool.map(timed, range(count)))
    return count / (time.perf_counter() - start), statistics.median(seconds), max(seconds)


def bench(count: int = 200, threads: int = 2) -> None:
    """Time `count` verdicts of each flavor.

    Args:
        count: verdicts of each flavor.
        threads: verdicts at a time.
    """
    verify = CodeVerifier()
    tasks: dict[str, Callable[[], object]] = {}
    for name, (program, gold) in FLAVORS.items():
        verdict = verify(program, gold)  # also starts the zygote
        if not verdict.correct:
            raise RuntimeError(f"{name}: {verdict.reason}")
        tasks[name] = lambda program=program, gold=gold: verify(program, gold)
    tasks["bare python -c"] = bare
    print(f"{count} verdicts each, {threads} threads, {os.cpu_count()} cores")
    for name, task in tasks.items():
        rate, median, slowest = measure(task, count, threads)
        print(f"{name:22s} {rate:6.1f} a second   median {median * 1e3:6.1f} ms   slowest {slowest * 1e3:6.1f} ms")


if __name__ == "__main__":
    run_command(lambda: tyro.cli(bench))
