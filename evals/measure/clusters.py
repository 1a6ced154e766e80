"""Which problems count as one observation: copies of a question under several ids, and problems of one template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rlpath.core.stats import Interval, mean_over_problems, wilson
from rlpath.core.types import ProblemSet


def cluster_by_question(questions: Mapping[str, str]) -> dict[str, str]:
    """By problem id, the id of the first problem with the same words; case and spacing do not count."""
    first: dict[str, str] = {}
    return {id: first.setdefault(" ".join(text.lower().split()), id) for id, text in questions.items()}


def grouped(names: Sequence[str]) -> list[str] | None:
    """The cluster of every problem, or None where each is its own and nothing has to be clustered."""
    return list(names) if len(set(names)) < len(names) else None


def accuracy(right_P: Sequence[int], clusters: Sequence[str] | None) -> Interval:
    """The share of problems that are right: Wilson's interval, or the cluster-robust one."""
    if clusters is None:
        return wilson(sum(right_P), len(right_P))
    return mean_over_problems([float(one) for one in right_P], clusters=clusters)


def clusters_of(problems: ProblemSet) -> dict[str, str]:
    """By problem id, the cluster: the template or story it was made from, else the first problem that asks the same.

    A problem without a template leaves the others' clusters as they are, and copies share the cluster of the first.
    """
    made_from = {problem.id: problem.meta.get("template", problem.meta.get("story")) for problem in problems.problems}
    first = cluster_by_question({problem.id: problem.prompt for problem in problems.problems})
    return {
        id: f"problem {original}" if made_from[original] is None else f"template {made_from[original]}"
        for id, original in first.items()
    }


def copies(problems: ProblemSet) -> int:
    """How many problems repeat the question of an earlier one."""
    first = cluster_by_question({problem.id: problem.prompt for problem in problems.problems})
    return sum(id != original for id, original in first.items())
