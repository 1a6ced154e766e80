"""Training stops where a number is not finite, before it reaches the weights, and says where to go on from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from rlpath.core.errors import InputError


class StopWhereNotFinite(TrainerCallback):
    """Ends training before a gradient that is not finite reaches the weights; raises `InputError`."""

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **_: Any
    ) -> None:
        for name, parameter in model.named_parameters():
            if parameter.grad is not None and not torch.isfinite(parameter.grad).all():
                raise InputError(
                    f"the gradient of {name} is not finite at step {state.global_step + 1}; "
                    f"{remedy(state.global_step, args)}"
                )


def blame(found: Iterable[tuple[str, bool]], what: str) -> str:
    """Which of a step's examples (or problems: `what`) it was; `found` says of each whether it is finite alone."""
    each = list(found)
    guilty = list(dict.fromkeys(name for name, finite in each if not finite))
    if not guilty:
        return f"though not for any of its {what}s alone"
    if len(each) > 1 and not any(finite for _, finite in each):
        return f"for every {what} of the step (first {guilty[0]}), so the weights themselves have diverged"
    return f"for {what} {', '.join(guilty)}"


def remedy(step: int, args: TrainingArguments) -> str:
    """Where training can go on from, and with what."""
    saved = step - step % int(args.save_steps)
    kept = f"checkpoint-{saved} is the last good checkpoint" if saved else "no checkpoint was reached yet"
    return f"training stopped before the weights were changed, and {kept}: lower --learning-rate and start again"
