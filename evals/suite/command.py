"""The command `rlpath eval`: models against a baseline on the tasks of the suite, and what may be said of them."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from rlpath.evals.suite.harness import Backend, Plan
from rlpath.evals.suite.suite import DEFAULT_TASKS, run_suite
from rlpath.evals.suite.table import result_lines


@dataclass(frozen=True)
class Eval:
    """Evaluate models against a baseline of the same size, and refuse to flatter them."""

    model: tyro.conf.UseAppendAction[tuple[tuple[str, ...], ...]]
    """Runs, model folders, adapters, hub ids or smollm2-135m-instruct; runs of one configuration are its seeds."""
    baseline: tuple[str, ...]
    """What they are compared with: a model of the same size, or the seeds of another recipe."""
    tasks: tuple[str, ...] = DEFAULT_TASKS
    """Tasks by name, or Python files that define a TASK; commas are allowed."""
    samples: int = 8
    """Sampled completions of a problem; 0 for greedy alone."""
    size: int | None = None
    """Problems of a task at most; all by default."""
    out: Path = Path("evaluation")
    """Folder for result.json, the report and the answers."""
    seed: int = 0
    """Fixes the choice of problems and every draw."""
    template: str | None = None
    """How questions are put, by name, or "text" for plain text; by default each task's first."""
    backend: Backend = "auto"
    """What samples."""
    max_tokens: int | None = None
    """Longest completion; by default each task's own."""
    prereg: Path | None = None
    """A plan written down before, by `rlpath prereg new`; the result is judged by it."""

    def run(self) -> int:
        """Ask, decide, write and print."""
        plan = Plan(self.samples, self.size, self.seed, max_tokens=self.max_tokens, backend=self.backend)
        result = run_suite(
            [name for group in self.model for name in group],
            self.baseline,
            [name for word in self.tasks for name in word.split(",") if name],
            out=self.out,
            plan=plan,
            template=self.template,
            prereg=self.prereg,
            progress=show,
        )
        print("\n".join(result_lines(result)))
        print(self.out / "result.json")
        return 0


def show(text: str) -> None:
    """Progress goes to the error stream, so that the table can be redirected."""
    print(text, file=sys.stderr, flush=True)
