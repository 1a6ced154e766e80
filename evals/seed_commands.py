"""The commands over sets of seeds: `rlpath compare A B` and `rlpath check-curve RUN …`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from rlpath.evals.compare_page import text, write_comparison
from rlpath.evals.compare_sets import compare_sets
from rlpath.seed_sets import SeedSet, read_set


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
