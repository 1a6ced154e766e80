"""The commands of this room: `rlpath report RUN …` and `rlpath log RUN`; tyro reads their fields as arguments."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from rlpath.core.errors import InputError
from rlpath.core.files import disk_errors
from rlpath.deep.runner import report as deep_report
from rlpath.evals.report import suite_page as suite_report
from rlpath.evals.report.browser import SHOWN
from rlpath.evals.report.run_log import draft_entry
from rlpath.evals.report.run_report import write_report
from rlpath.evals.report.seeds_report import write_seeds_report
from rlpath.evals.suite import result as suite_result
from rlpath.runs.run_folder import read_run
from rlpath.runs.seed_sets import read_set


@dataclass(frozen=True)
class Report:
    """Write report.html of a run; of several runs (seeds of one configuration), one report over all of them; or draw
    that of an evaluation suite again."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Run folders, runs/<recipe>/<hash>/seed-<k>; or one folder that `rlpath eval` wrote, with its result.json."""
    out: Path | None = None
    """Where the report over several runs goes; by default beside their folders."""
    shown: int = SHOWN
    """Problems of each task that a suite's report shows with their completions; all are in answers/."""

    def run(self) -> int:
        """Write and print the path."""
        if not self.runs:
            raise InputError("no run folder was given: name one, or several seeds of one configuration")
        if (self.runs[0] / suite_result.FILE).is_file():
            path = self._suite(self.runs[0])
        elif "total_timesteps" in read_run(self.runs[0]).config:
            path = self._classic()
        elif len(self.runs) == 1 and self.out is None:
            path = write_report(self.runs[0])
        else:
            path = write_seeds_report(self.runs, self.out)
        print(path)
        return 0

    def _suite(self, folder: Path) -> Path:
        """The report of an evaluation suite, from its result."""
        if len(self.runs) != 1 or self.out is not None:
            raise InputError(f"{folder} is a suite's folder: name it alone and without --out")
        if self.shown < 0:
            raise InputError(f"--shown is {self.shown}: 0 or more problems of each task can be shown")
        return suite_report.write_report(suite_result.read_result(folder), folder, shown=self.shown)

    def _classic(self) -> Path:
        """The report of reinforcement learning on an environment."""
        if len(self.runs) == 1 and self.out is None:
            return deep_report.write_report(self.runs[0])
        seeds = read_set(self.runs)
        return deep_report.write_seeds_report(seeds, self.out or self.runs[0].resolve().parent / "report.html")


@dataclass(frozen=True)
class Log:
    """Draft the LOG.md entry of a run: what was tried, what happened, blanks for what was learned and what is next."""

    run_folder: tyro.conf.Positional[Path]
    """Run folder, runs/<recipe>/<hash>/seed-<k>."""
    append_to: Path | None = None
    """A file to append the entry to, instead of printing it."""

    def run(self) -> int:
        """Print the entry, or append it."""
        entry = draft_entry(self.run_folder)
        if self.append_to is None:
            print(entry)
            return 0
        with disk_errors(self.append_to), self.append_to.open("a", encoding="utf-8") as file:
            file.write("\n" + entry)
        print(self.append_to)
        return 0
