"""A finished run's policy, back from its folder: to watch, to measure, or to use in a notebook."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from rlpath.core.errors import InputError
from rlpath.core.files import hold_folder
from rlpath.deep.batched.ppo_batched import train_batched
from rlpath.deep.parts.training import Result
from rlpath.runs.run_folder import RunFolder, read_run

ALGORITHMS = ("ppo", "ppo_continuous", "a2c", "reinforce", "dqn", "ddpg", "td3", "sac")


def load_policy(run: Path | str, **made: Callable[..., Any]) -> Result:
    """The result of a finished run of deep RL: `result.act(obs, True)` maps (N, *observation) to N greedy actions.

    `made` are the functions that the run was trained with: make_env, make_network. Raises `InputError` where `run` is
    no finished run of an algorithm of `rlpath.deep`, its weights were not kept, or another process holds it.
    """
    path = Path(run)
    record = read_run(path)
    config = dict(record.config)
    algorithm = config.get("algorithm")
    if algorithm not in ALGORITHMS:
        raise InputError(f"{path} is no run of {', '.join(ALGORITHMS)}: its policy cannot be loaded")
    module = importlib.import_module(f"rlpath.deep.{algorithm}")
    known = {field.name for field in fields(module.Args)}
    values = {name: tuple(v) if isinstance(v, list) else v for name, v in config.items() if name in known}
    with RunFolder(path, hold_folder(path)) as folder:
        if not record.finished or folder.last_checkpoint() is None:
            raise InputError(f"{path} is not finished, or kept no weights (checkpoint_every 0); run its command again")
        # Its last checkpoint is after its last iteration: nothing is trained.
        args = module.Args(**values)
        if config.get("batched"):
            return train_batched(args, [args.seed], [folder])[0]
        return module.train(args, folder, **made)
