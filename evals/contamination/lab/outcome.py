"""From the scores of all seeds to rates: ROC, AUC with interval, true positives at 5 % false positives.

A threshold is set on reference items (5 % of them reach it) and then applied: `tpr` is the share of planted items that
reach it, `fpr` the share of unseen ones, which is measured and not assumed. AUC and ROC compare planted and unseen.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rlpath.core.stats import Interval, interval_over_seeds
from rlpath.evals.contamination.lab.measure import BLIND, SeedScores
from rlpath.evals.contamination.membership import auc, gap_beside_references, roc, threshold

FALSE_POSITIVES = 0.05
BESIDE = "set twin gap beside references"
AT = (0.01, 0.05, 0.1, 0.2)
GRID = tuple(round(float(x), 3) for x in np.linspace(0, 1, 41))
Groups = Sequence[SeedScores]


@dataclass(frozen=True, slots=True)
class Rate:
    """One detector on one form and number of exposures, over all seeds. Searches of text have no AUC (None)."""

    detector: str
    form: str
    exposures: int
    tpr: float
    fpr: float
    planted: int
    unseen: int
    auc: Interval | None = None
    roc_at: tuple[float, ...] = ()
    roc: tuple[float, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As JSON values, rounded; the whole curve only where asked for elsewhere."""
        row = {name: value for name, value in asdict(self).items() if name not in ("auc", "roc", "roc_at")}
        row |= {"tpr": round(self.tpr, 4), "fpr": round(self.fpr, 4)}
        if self.auc is not None:
            limits = (self.auc.estimate, max(0.0, self.auc.low), min(1.0, self.auc.high))
            row |= dict(zip(("auc", "auc_low", "auc_high"), (round(x, 4) for x in limits), strict=True))
            row["tpr_at_fpr"] = {str(at): round(value, 4) for at, value in zip(AT, self.roc_at, strict=True)}
        return row


def rates(seeds: Groups) -> list[Rate]:
    """Every detector on every planted group, in the order forms and exposures were planted."""
    return [*_item_rates(seeds), *_set_rates(seeds), *_search_rates(seeds)]


def _item_rates(seeds: Groups) -> Iterable[Rate]:
    planted = [name for name in seeds[0].groups if name not in ("unseen", "references")]
    for detector in (*seeds[0].groups["unseen"], BLIND):
        for name in planted:
            form, exposures = split_name(name)
            pairs = [_pair(measured, detector, name) for measured in seeds]
            limits = [threshold(_references(measured, detector, name), FALSE_POSITIVES) for measured in seeds]
            yield Rate(
                detector,
                form,
                exposures,
                tpr=_share([np.array(seen) >= limit for (seen, _), limit in zip(pairs, limits, strict=True)]),
                fpr=_share([np.array(unseen) >= limit for (_, unseen), limit in zip(pairs, limits, strict=True)]),
                planted=sum(len(seen) for seen, _ in pairs),
                unseen=sum(len(unseen) for _, unseen in pairs),
                auc=_interval([auc(*pair) for pair in pairs]),
                roc_at=tuple(float(x) for x in np.mean([roc(*pair, AT) for pair in pairs], axis=0)),
                roc=tuple(float(x) for x in np.mean([roc(*pair, GRID) for pair in pairs], axis=0)),
            )


def _pair(measured: SeedScores, detector: str, name: str) -> tuple[list[float], list[float]]:
    """Scores of a planted group and of the unseen items; the blind baseline is fitted separately for each group."""
    group = measured.groups[name]
    if detector == BLIND:
        return group[BLIND], group[f"{BLIND}, unseen"]
    return group[detector], measured.groups["unseen"][detector]


def _references(measured: SeedScores, detector: str, name: str) -> list[float]:
    """Scores that set the threshold; the blind baseline has no references but the unseen items of even number."""
    if detector == BLIND:
        return measured.groups[name][f"{BLIND}, unseen"][::2]
    return measured.groups["references"][detector]


def _set_rates(seeds: Groups) -> Iterable[Rate]:
    """Tests with a p-value, at the 5 % level: no threshold is set, fpr is measured on what was never planted."""
    tables = [measured.p_values | {BESIDE: _gaps_beside_references(measured)} for measured in seeds]
    for detector in tables[0]:
        clean = [p for table in tables for p in table[detector]["unseen"]]
        for kind in (kind for kind in tables[0][detector] if kind != "unseen"):
            p_values = [p for table in tables for p in table[detector][kind]]
            form, exposures = split_name(kind)
            yield Rate(
                detector,
                form or "canary",
                exposures,
                tpr=_share([np.array(p_values) <= FALSE_POSITIVES]),
                fpr=_share([np.array(clean) <= FALSE_POSITIVES]),
                planted=len(p_values),
                unseen=len(clean),
            )


def _gaps_beside_references(measured: SeedScores) -> dict[str, list[float]]:
    """One-sided p-values that the twin gaps of a set are no larger than those of the references."""
    references = measured.groups["references"]["twin gap"]
    planted = {name: scores["twin gap"] for name, scores in measured.groups.items() if name != "references"}
    size = min(map(len, planted.values()))
    return {
        name: [
            gap_beside_references(gaps[start : start + size], references).p_greater
            for start in range(0, len(gaps) - size + 1, size)
        ]
        for name, gaps in planted.items()
    }


def _search_rates(seeds: Groups) -> Iterable[Rate]:
    """Searches of the training text, at their default thresholds; the number of copies plays no part."""
    for detector, groups in seeds[0].found.items():
        unseen = [flag for measured in seeds for flag in measured.found[detector]["unseen"]]
        for form in dict.fromkeys(split_name(name)[0] for name in groups if name != "unseen"):
            flags = [
                flag
                for measured in seeds
                for name, found in measured.found[detector].items()
                if name != "unseen" and split_name(name)[0] == form
                for flag in found
            ]
            share, false = _share([np.array(flags)]), _share([np.array(unseen)])
            yield Rate(detector, form, 1, share, false, len(flags), len(unseen))


def split_name(name: str) -> tuple[str, int]:
    """The form and the exposures of a group's name, "verbatim x4"."""
    form, _, exposures = name.rpartition("x")
    return form.strip(), int(exposures)


def _share(parts: Sequence[Any]) -> float:
    return float(np.concatenate(parts).mean())


def _interval(values: Sequence[float]) -> Interval:
    """Over seeds; a single seed gives no interval but its value."""
    if len(values) < 2:
        return Interval(values[0], 0.0, 1.0, "one seed")
    return interval_over_seeds(values)


def table(all_rates: Sequence[Rate]) -> list[str]:
    """The lines of the printed table, one a detector, form and number of exposures."""
    head = f"{'detector':31}{'form':13}{'times':>6}{'AUC':>7}  {'95 %':16}" + "".join(f"{f'@{at:.0%}':>7}" for at in AT)
    lines = [head + f"{'TPR':>8}{'FPR':>8}{'planted':>9}"]
    for rate in all_rates:
        line = f"{rate.detector:31}{rate.form:13}{rate.exposures:>6}"
        if rate.auc is None:
            line += f"{'':>7}  {'':16}" + " " * 7 * len(AT)
        else:
            limits = f"[{max(0.0, rate.auc.low):.2f}, {min(1.0, rate.auc.high):.2f}]"
            line += f"{rate.auc.estimate:>7.2f}  {limits:16}" + "".join(f"{value:>7.2f}" for value in rate.roc_at)
        lines.append(line + f"{rate.tpr:>8.2f}{rate.fpr:>8.3f}{rate.planted:>9}")
    return lines


def blind_interval(all_rates: Sequence[Rate]) -> tuple[float, Interval]:
    """The blind baseline's mean AUC over all planted groups, and the interval over the groups' means."""
    values = [rate.auc.estimate for rate in all_rates if rate.detector == BLIND and rate.auc is not None]
    return float(np.mean(values)), interval_over_seeds(values)
