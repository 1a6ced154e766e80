"""The commands over sets of seeds: `rlpath compare A B` and `rlpath check-curve RUN …`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from rlpath.core.errors import InputError
from rlpath.core.files import disk_errors, write_atomic
from rlpath.evals.compare.reference import check_curve, check_plot, find_reference, read_reference, record_reference
from rlpath.evals.compare.run_sets import compare_sets
from rlpath.evals.report.compare_page import text, write_comparison
from rlpath.report import plots
from rlpath.runs.seed_sets import SeedSet, read_set

CURVES = Path(__file__).resolve().parents[2] / "recipes" / "curves"


@dataclass(frozen=True)
class Compare:
    """Compare two sets of seeds: effect with interval, probability of improvement, p, and what could not be seen."""

    a: tyro.conf.Positional[str]
    """runs/<recipe>/<hash>: all its seeds; or seed folders of one configuration, with commas between or a pattern."""
    b: tyro.conf.Positional[str]
    """The other set; differences are B - A."""
    metric: str | None = None
    """What decides: final (final evaluation), last_100 (training episodes), area (under the curve); pass@1, greedy."""
    shared_only: bool = False
    """Where the sets have different seeds, keep only those that both have, and pair them."""
    out: Path | None = None
    """Folder for the page, the figures and compare.json; by default beside A's configuration."""

    def run(self) -> int:
        """Print the comparison and write its page."""
        a, b = (read_set(side.split(",")) for side in (self.a, self.b))
        found = compare_sets(a, b, self.metric, self.shared_only)
        print(text(found))
        print(f"\nreport: {write_comparison(found, a, b, self.out or beside(a, b))}")
        return 0


def beside(a: SeedSet, b: SeedSet) -> Path:
    """runs/<recipe of A>/compare-<A>-<B>."""
    first, second = (next(iter(runs.records.values())).path.parent for runs in (a, b))
    other = second.name if a.recipe == b.recipe else f"{b.recipe}-{second.name}"
    return first.parent / f"compare-{first.name}-{other}"


@dataclass(frozen=True)
class CheckCurve:
    """Check whether new runs lie where a recorded reference says; exit status 1 where they do not."""

    runs: tyro.conf.Positional[tuple[str, ...]]
    """Seeds of one configuration: runs/<recipe>/<hash>, or seed folders in it."""
    reference: Path | None = None
    """The reference's file; by default the one in recipes/curves of the same recipe and settings."""
    record: bool = False
    """Make a reference of these runs instead, and write it to --out."""
    out: Path | None = None
    """With --record the reference's file, for example recipes/curves/ppo-cartpole.json; else an SVG of the check."""

    def run(self) -> int:
        """Print what was found; 0 inside the band, 1 outside."""
        seeds = read_set(self.runs)
        if self.record:
            return self._record(seeds)
        path = self.reference or find_reference(seeds, CURVES)
        reference = read_reference(path)
        found = check_curve(reference, seeds)
        if self.out is not None:
            write_atomic(self.out, plots.standalone(check_plot(reference, seeds)))
        print("\n".join([f"reference: {path}", *found.notes, *found.outside, found.sentence]))
        return int(not found.inside)

    def _record(self, seeds: SeedSet) -> int:
        if self.out is None:
            raise InputError("--record needs --out FILE, for example recipes/curves/ppo-cartpole.json")
        if self.reference is not None:
            raise InputError("--record makes a reference and --reference names one to check against; leave one out")
        reference = record_reference(seeds)
        with disk_errors(self.out):
            self.out.parent.mkdir(parents=True, exist_ok=True)
        reference.save(self.out)
        print(f"{self.out}: {len(reference.curves)} seeds of {seeds.name}")
        return 0
