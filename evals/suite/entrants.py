"""Who takes part: the models, the training seeds that belong together, the baseline, and the base of every adapter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rlpath.core.errors import InputError
from rlpath.evals.suite.result import Entrant, Role
from rlpath.evals.suite.subject import Subject, base_of, resolve_subject


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """An entrant with its subjects, one a training seed."""

    entrant: Entrant
    subjects: tuple[Subject, ...]


def resolve_models(models: Sequence[str], baseline: Sequence[str]) -> list[ModelEntry]:
    """All that a suite asks: `models`, the `baseline` and the bases of the models, each once.

    Runs of one recipe and configuration are the training seeds of one entrant. The baseline is one entrant: a model,
    or several runs of one recipe, and may be a model a second time with new samples; one model without a baseline
    takes part alone. Raises InputError for no model, one named twice, or several baselines.
    """
    if models and not baseline:
        alone = _groups([resolve_subject(spec) for spec in models])
        if len(alone) > 1:
            raise InputError(
                f"{len(alone)} models and no baseline were given: name what they are compared with by --baseline, or "
                "evaluate each alone"
            )
        models, baseline = (), models
    elif not models:
        raise InputError("no model was given: name at least one with --model")
    asked = _groups([resolve_subject(spec) for spec in models])
    baselines = _groups([resolve_subject(spec) for spec in baseline])
    if len(baselines) != 1:
        raise InputError(f"{len(baselines)} baselines were given: name one with --baseline, or the seeds of one recipe")
    known = {_weights(group): "model" for group in asked}
    if _weights(baselines[0]) in known:
        # A model against itself shows what the procedure makes of no difference.
        baselines = [[subject.once_more() for subject in baselines[0]]]
    bases = [[base] for group in (*asked, *baselines) if (base := base_of(group[0])) is not group[0]]
    groups: dict[tuple[str, ...], tuple[Role, list[Subject]]] = {}
    roles: tuple[tuple[Role, list[list[Subject]]], ...] = (("model", asked), ("baseline", baselines), ("base", bases))
    for role, members in roles:
        for group in members:
            groups.setdefault(_weights(group), (role, group))
    labels = _labels([group for _, group in groups.values()])
    found = [ModelEntry(_entrant(role, group, label), tuple(group)) for (role, group), label in _zip(groups, labels)]
    by_weights = {_weights(entered.subjects): entered.entrant.label for entered in found}
    return [_with_base(entered, by_weights) for entered in found]


def _zip(
    groups: dict[tuple[str, ...], tuple[Role, list[Subject]]], labels: Sequence[str]
) -> list[tuple[tuple[Role, list[Subject]], str]]:
    return list(zip(groups.values(), labels, strict=True))


def _groups(subjects: Sequence[Subject]) -> list[list[Subject]]:
    """Seeds of one configuration together, in order of first mention."""
    twice = {subject.sha256 for subject in subjects if [s.sha256 for s in subjects].count(subject.sha256) > 1}
    if twice:
        names = [subject.spec for subject in subjects if subject.sha256 in twice]
        raise InputError(f"{' and '.join(names[:2])} are the same weights: name each model once")
    groups: dict[Path | str, list[Subject]] = {}
    for subject in subjects:
        groups.setdefault(subject.run.parent if subject.run else subject.spec, []).append(subject)
    return [sorted(group, key=lambda subject: subject.seed or 0) for group in groups.values()]


def _weights(subjects: Sequence[Subject]) -> tuple[str, ...]:
    return tuple(subject.sha256 for subject in subjects)


def _labels(groups: Sequence[Sequence[Subject]]) -> list[str]:
    """A name for each group, told apart by configuration or path where two would have the same."""
    names = [group[0].label if len(group) == 1 else str(group[0].recipe) for group in groups]
    return [
        f"{name} ({group[0].run.parent.name if group[0].run else group[0].spec})" if names.count(name) > 1 else name
        for name, group in zip(names, groups, strict=True)
    ]


def _entrant(role: Role, group: Sequence[Subject], label: str) -> Entrant:
    members = (label,) if len(group) == 1 else tuple(f"{label}, seed {subject.seed}" for subject in group)
    seeds = tuple(subject.seed for subject in group if subject.seed is not None)
    return Entrant(label, role, members, seeds, group[0].parameters, _weights(group))


def _with_base(entered: ModelEntry, by_weights: dict[tuple[str, ...], str]) -> ModelEntry:
    """The entrant knowing its base, and its subjects under the labels that tables use."""
    base = base_of(entered.subjects[0])
    name = "" if base is entered.subjects[0] else by_weights[(base.sha256,)]
    named = zip(entered.subjects, entered.entrant.members, strict=True)
    return ModelEntry(replace(entered.entrant, base=name), tuple(replace(one, label=label) for one, label in named))
