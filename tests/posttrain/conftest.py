"""What the tests of post-training share."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def few_objects_to_collect() -> Iterator[None]:
    """Accelerate collects garbage at every start of a trainer: a second each, among all that was imported."""
    # Imported here, so that what they hold is left out too.
    import trl.trainer.dpo_trainer
    import trl.trainer.grpo_trainer  # noqa: F401

    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
