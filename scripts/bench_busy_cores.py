"""What one step keeps of its speed beside other work: matrix products alone, then beside a busy process a core.

    python scripts/bench_busy_cores.py
    OMP_WAIT_POLICY=passive python scripts/bench_busy_cores.py

Beside one busy process a core, half of the time is the fair share. A step that waits at a barrier for a thread that
has been taken off its core loses more.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

from rlpath.runs.cpu import prepare_cpu

BUSY = "while True: pass"


def seconds(step: Callable[[], object], at_least: float) -> float:
    """The mean seconds of a step, over `at_least` seconds."""
    step()
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < at_least:
        step()
        count += 1
    return (time.perf_counter() - began) / count


def main() -> None:
    settings = prepare_cpu()
    import torch

    from rlpath.runs.hardware import cores

    a, b = torch.randn(64, 896), torch.randn(896, 4864)
    layers = 24

    def decode() -> None:
        # A decode step: many small products, each with a barrier at its end.
        for _ in range(layers):
            torch.softmax(a @ b, -1)

    alone = seconds(decode, 4.0)
    busy = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(cores())]
    try:
        beside = seconds(decode, 8.0)
    finally:
        for process in busy:
            process.kill()
            process.wait()
    kept = alone / beside / 0.5
    print(f"{settings}: {1000 * alone:.0f} ms alone, {1000 * beside:.0f} ms beside {cores()} busy processes,", end=" ")
    print(f"{kept:.0%} of the fair share")


if __name__ == "__main__":
    main()
