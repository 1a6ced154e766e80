"""Hyperparameter search by Optuna: which settings to try next, on other seeds than those that are reported.

A setting that was chosen for its luck on some seeds looks better on these than it is. So the search has seeds of its
own, and the chosen setting is run again on the seeds that were asked for.

Nothing of the search is stored but its runs: the sampler is seeded and a finished run is not run again, so that the
same command goes through the same trials to where it was stopped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rlpath.cli.sweep.plan import OWN
from rlpath.core.errors import InputError

FIRST_SEED = 1000
"""The first seed of a search; reported seeds lie below."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a recipe to search: `low` to `high`, or one of `choices`."""

    name: str
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False
    choices: tuple[str, ...] = ()


def read_fields(words: Sequence[str]) -> list[Field]:
    """`field=low..high`, `field=low..high:log` or `field=value,value,…`; bounds without a point are whole numbers.

    Raises `InputError` for a word of another form, a range that is empty or not positive where it is logarithmic, and
    a field named twice.
    """
    fields = [_read_field(word) for word in words]
    names = [field.name for field in fields]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"--search names the field {twice[0]} twice")
    return fields


def _read_field(word: str) -> Field:
    name, equals, text = word.partition("=")
    name = name.strip().lstrip("-").replace("-", "_")
    if name in OWN:
        raise InputError(f"--search {word}: the sweep sets --{name} itself; use --seeds, --root and --jobs")
    bounds, colon, scale = text.partition(":")
    ends = bounds.split("..")
    if equals and name and len(ends) == 2 and (not colon or scale == "log"):
        try:
            low, high = map(float, ends)
        except ValueError:
            raise _malformed(word) from None
        if not (math.isfinite(low) and math.isfinite(high) and low < high and (not colon or low > 0)):
            needs = "two numbers, the lower first" + (", above 0 for a logarithmic range" if colon else "")
            raise InputError(f"--search {word}: a range is {needs}")
        return Field(name, low, high, bool(colon), all(end.strip().lstrip("-").isdigit() for end in ends))
    choices = tuple(value.strip() for value in text.split(","))
    if not equals or not name or len(set(choices)) < max(2, len(choices)) or not all(choices):
        raise _malformed(word)
    return Field(name, choices=choices)


def _malformed(word: str) -> InputError:
    return InputError(f"--search {word} is not field=low..high, field=low..high:log or field=value,value,…")


def search(fields: Sequence[Field], trials: int, score: Callable[[Mapping[str, str]], float | None]) -> dict[str, str]:
    """The best of `trials` settings by `score`, higher being better; a setting without a score has failed.

    Raises `InputError` where Optuna is not installed or every trial failed.
    """
    try:
        import optuna
    except ImportError:
        raise InputError("--search needs Optuna: pip install 'rlpath[search]'") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    for number in range(trials):
        trial = study.ask()
        point = {field.name: _suggest(trial, field) for field in fields}
        found = score(point)
        words = " ".join(f"{name}={value}" for name, value in point.items())
        print(f"trial {number + 1} of {trials}: {words}: {'failed' if found is None else f'{found:.4g}'}", flush=True)
        trial.set_user_attr("point", point)
        if found is None:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            study.tell(trial, found)
    if not any(trial.state == optuna.trial.TrialState.COMPLETE for trial in study.trials):
        raise InputError(f"none of {trials} trials has a score; see the logs named above")
    return study.best_trial.user_attrs["point"]


def _suggest(trial: object, field: Field) -> str:
    """A value as text, with four digits: what is tried is what is written on the command line."""
    from optuna import Trial

    assert isinstance(trial, Trial)
    if field.choices:
        return str(trial.suggest_categorical(field.name, field.choices))
    if field.whole:
        return str(trial.suggest_int(field.name, int(field.low), int(field.high), log=field.log))
    return f"{trial.suggest_float(field.name, field.low, field.high, log=field.log):.4g}"
