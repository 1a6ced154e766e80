"""The command `rlpath eval`: models against a baseline on the tasks of the suite, and what may be said of them."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from rlpath.core.errors import InputError
from rlpath.core.files import disk_errors
from rlpath.evals.suite.tasks import TASKS
from rlpath.models.load import DEFAULT

if TYPE_CHECKING:
    from rlpath.evals.suite.harness import Plan


@dataclass(frozen=True)
class Eval:
    """Evaluate models against a baseline of the same size, and refuse to flatter them.

    Killed at any time, the same command goes on where it stopped. `rlpath power` says how many problems are needed.
    Under torchrun or accelerate launch all processes share the questions.
    """

    model: tyro.conf.UseAppendAction[tuple[tuple[str, ...], ...]] = ()
    """Runs, model folders, adapters, hub ids, smollm2-135m-instruct or endpoints (http://host:port/v1#name); runs of
    one configuration are its seeds."""
    baseline: tuple[str, ...] = ()
    """What they are compared with: a model of the same size, or the seeds of another recipe. One model without a
    baseline is evaluated alone, with intervals and without a verdict."""
    tasks: tuple[str, ...] = tuple(TASKS)
    """Tasks by name, files of questions (.jsonl, .csv, .parquet), hub:owner/data-set, or Python files with a TASK;
    commas are allowed. Columns of other names: "exam.csv?question=ask&answer=key&verifier=number"."""
    samples: int = 8
    """Sampled completions of a problem; 0 for greedy alone."""
    size: Annotated[int | None, tyro.conf.arg(aliases=["--limit"])] = None
    """Problems of a task at most; all by default."""
    k: int | None = None
    """Largest k of pass@k and maj@k, at most `samples`, which it is by default."""
    out: Path = Path("evaluation")
    """Folder for result.json, report.html, exports/ and answers/."""
    seed: int = 0
    """Fixes the choice of problems and every draw."""
    template: str | None = None
    """How questions are put, by name, "text" for plain text, "likelihood" for the most probable option; by default each
    task's first."""
    shots: int | None = None
    """Solved examples before each question; by default the template's own number."""
    system_prompt: str = ""
    """What the system turn of every chat says."""
    chat_template: Path | None = None
    """A file with a chat template (Jinja) instead of each tokenizer's own."""
    chat_options: str = "{}"
    """Further values for the chat template as JSON, such as '{"enable_thinking": false}'."""
    temperature: float = 1.0
    """Of the sampled completions; greedy ones are always asked."""
    top_p: float = 1.0
    """Of the sampled completions."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Precision; auto is float32 up to 2 billion parameters, where an answer does not depend on its batch."""
    batch_size: int = 64
    """Problems asked at once."""
    backend: Literal["auto", "hf", "vllm"] = "auto"
    """What samples."""
    max_tokens: int | None = None
    """Longest completion; by default each task's own."""
    prereg: Path | None = None
    """A plan written down before, by `rlpath prereg new`; the result is judged by it."""
    train_files: tuple[Path, ...] = ()
    """What the models were trained on, searched for test items; a run's own record is read without it."""
    sensitivity: bool = False
    """Ask in every other way too, and see whether the ranking survives."""
    probes: bool = False
    """Change numbers, names and formats, and see what becomes of accuracy."""
    show_lies: bool = False
    """Show on one small model how an evaluation lies, and do nothing else."""

    def run(self) -> int:
        """Ask, decide, write and print."""
        if self.show_lies:
            return self._show_lies()
        from rlpath.evals.suite.several import shared_questions

        with shared_questions() as main:
            return self._evaluate() if main else 0

    def _evaluate(self) -> int:
        from transformers.utils import logging as transformers_logging

        from rlpath.evals.report.export import write_exports
        from rlpath.evals.report.suite_page import write_report
        from rlpath.evals.report.suite_table import result_lines
        from rlpath.evals.run_suite import run_suite
        from rlpath.evals.stress.probes import probes_table
        from rlpath.evals.stress.sensitivity import sensitivity_table

        transformers_logging.set_verbosity_error()
        transformers_logging.disable_progress_bar()
        if not self._models():
            raise InputError(f"no model was given: name at least one with --model, such as {DEFAULT}")
        result = run_suite(
            self._models(),
            self.baseline,
            [name for word in self.tasks for name in word.split(",") if name],
            out=self.out,
            plan=self._plan(),
            template=self.template,
            prereg=self.prereg,
            train_files=self.train_files,
            sensitivity=self.sensitivity,
            probes=self.probes,
            progress=show,
        )
        print("\n".join(result_lines(result)))
        if result.sensitivity:
            print(f"\n{sensitivity_table(result.sensitivity)}")
        if result.probes:
            print(f"\n{probes_table(result.probes)}")
        print(f"exports: {', '.join(map(str, write_exports(result, self.out)))}")
        print(f"report: {write_report(result, self.out)}")
        return 0

    def _show_lies(self) -> int:
        from rlpath.evals.stress.lies import PLAN, run_lies, save_lies
        from rlpath.evals.suite.subject import resolve_subject

        models = self._models() or [DEFAULT]
        if len(models) > 1:
            raise InputError(f"--show-lies shows them on one model, not on {len(models)}: name one with --model")
        lies = run_lies(resolve_subject(models[0]), PLAN, progress=show)
        with disk_errors(self.out):
            self.out.mkdir(parents=True, exist_ok=True)
        save_lies(lies, self.out / "lies.json")
        print(self.out / "lies.json")
        return 0

    def _models(self) -> list[str]:
        return [name for group in self.model for name in group]

    def _plan(self) -> Plan:
        from rlpath.evals.suite.harness import Plan

        return Plan(
            self.samples,
            self.size,
            self.seed,
            self.temperature,
            max_tokens=self.max_tokens,
            backend=self.backend,
            dtype=self.dtype,
            k=self.k,
            top_p=self.top_p,
            batch=self.batch_size,
            shots=self.shots,
            system=self.system_prompt,
            chat_template=_file_text(self.chat_template),
            chat_options=_values(self.chat_options),
        )


def _file_text(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--chat-template {path} cannot be read: {error}") from None


def _values(text: str) -> tuple[tuple[str, Any], ...]:
    """The items of a JSON object."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise InputError(f"--chat-options {text} is no JSON object: write it like '{{\"enable_thinking\": false}}'")
    return tuple(found.items())


def show(text: str) -> None:
    """Progress goes to the error stream, so that the table can be redirected."""
    print(text, file=sys.stderr, flush=True)
