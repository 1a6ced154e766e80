"""TensorBoard or Weights & Biases beside a run's own files: every logged figure is passed on under the same name."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

from rlpath.core.errors import InputError
from rlpath.runs.run_folder import RunFolder

Tracker = Literal["none", "tensorboard", "wandb"]
PROJECT = "rlpath"


@contextmanager
def tracked(run: RunFolder, config: Mapping[str, Any], tracker: Tracker) -> Iterator[None]:
    """While entered, what `run` logs goes to the tracker too; a resumed run goes on in the same curves.

    TensorBoard's files lie in the run's folder, tensorboard/. Raises `InputError` where the package is missing.
    """
    if tracker == "none":
        yield
        return
    open_tracker = _tensorboard if tracker == "tensorboard" else _wandb
    log, close = open_tracker(run, config)
    run.also_log = log
    try:
        yield
    finally:
        run.also_log = None
        close()


def _tensorboard(run: RunFolder, config: Mapping[str, Any]) -> tuple[Any, Any]:
    tensorboard = _require("torch.utils.tensorboard", "tensorboard")
    checkpoint = run.last_checkpoint()
    # What was logged after the checkpoint will be logged again.
    again_from = 1 + int(checkpoint.name.removeprefix("checkpoint-")) if checkpoint else 0
    writer = tensorboard.SummaryWriter(str(run.path / "tensorboard"), purge_step=again_from)

    def log(step: int, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            writer.add_scalar(name, value, step)

    return log, writer.close


def _wandb(run: RunFolder, config: Mapping[str, Any]) -> tuple[Any, Any]:
    wandb = _require("wandb", "wandb")
    recipe, folder, seed = run.path.parts[-3:]
    plain = {name: value for name, value in config.items() if name != "root"}
    board = wandb.init(
        project=PROJECT, group=f"{recipe}-{folder}", name=f"{recipe}-{folder}-{seed}", id=f"{recipe}-{folder}-{seed}",
        resume="allow", dir=str(run.path), config=plain, reinit="create_new",
    )  # fmt: skip
    return lambda step, metrics: board.log(dict(metrics), step=step), board.finish


def _require(module: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise InputError(f"--log-to {package} needs a package that is not installed: pip install {package}") from None
