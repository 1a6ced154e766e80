"""Published data sets from the hub, where the folder that RLPATH_DATA names does not hold them."""

from __future__ import annotations

import re
from typing import Any

from rlpath.core.errors import InputError, Unreachable
from rlpath.models.hub import hub_state, stop_asking

_NAME = re.compile(r"(?P<id>[\w.-]+/[\w.-]+)(?:/(?P<config>[\w.-]+))?(?:@(?P<split>[\w.-]+))?")


def hub_rows(name: str) -> list[tuple[int, dict[str, Any]]]:
    """The rows, numbered from 1, of `owner/name[/configuration][@split]`, the test split unless given.

    Raises InputError for a name of another form, and `Unreachable` where the hub gives nothing.
    """
    parts = _NAME.fullmatch(name)
    if parts is None:
        raise InputError(f"hub:{name} is no data set: write hub:owner/name, hub:owner/name/configuration@split")
    found = load_split(parts["id"], parts["config"], parts["split"] or "test")
    return list(enumerate(found, start=1))


def load_split(id: str, config: str | None, split: str) -> list[dict[str, Any]]:
    """The rows of one split. Raises `Unreachable`, saying what to do, where it cannot be had."""
    try:
        import datasets
    except ImportError:
        raise Unreachable(f"the data set {id} is on the hub: install rlpath[train] to fetch it") from None
    if hub_state() != "reachable":
        stop_asking()
    try:
        return [dict(row) for row in datasets.load_dataset(id, config, split=split)]
    except (OSError, ValueError, RuntimeError) as error:
        why = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise Unreachable(f"the hub gave no {split} split of {id} ({why}): check the name, or connect") from None
