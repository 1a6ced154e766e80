"""What may we claim? Held-out problems, evaluation, paired comparison and the report.

As a library: `from rlpath.evals import evaluate` is the whole suite, the same that `rlpath eval` runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlpath.evals.run_suite import run_suite

    evaluate = run_suite


def __getattr__(name: str) -> Any:
    """`evaluate`, imported when it is first asked for: the other modules here need no deep-learning package."""
    if name != "evaluate":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from rlpath.evals.run_suite import run_suite

    return run_suite
