"""What the tests of post-training share."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator

from rlpath.core.types import Problem, Status, Verdict
from rlpath.models.hf_sampler import HFSampler
from rlpath.models.load import load_model, load_tokenizer
from rlpath.posttrain.loop import OnPolicyTrainer
from rlpath.posttrain.on_policy import trained_model
from rlpath.posttrain.settings import GRPOSettings


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


def even(completion: str, gold: str, *, question: str | None = None, truncated: bool = False) -> Verdict:
    return Verdict.of(Status.CORRECT if len(completion) % 2 == 0 else Status.WRONG)


@pytest.fixture
def make(digit_folder: Path) -> Callable[..., OnPolicyTrainer]:
    """`make(settings, **arguments)`: a trainer of a tiny model that writes digits, right where their number is even."""

    def build(settings: GRPOSettings, **arguments: Any) -> OnPolicyTrainer:
        settings = replace(settings, log_to="none")
        problems = [Problem(f"p{i}", f"{i}+1?", str(i + 1)) for i in range(8)]
        sampler = HFSampler(load_model(digit_folder, "float32"), load_tokenizer(digit_folder))
        torch.manual_seed(0)
        model = trained_model(digit_folder, settings)
        given: dict[str, Any] = {"problems": problems, "verifier": even, "sampler": sampler, **arguments}
        return OnPolicyTrainer(model.float(), settings, accelerator=Accelerator(cpu=True), **given)

    return build
