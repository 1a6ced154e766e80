"""A fixed set of episodes: how it is recorded, kept in Minari's format, and read back as transitions."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from rlpath.core.errors import InputError
from rlpath.deep.parts.replay import Transitions
from rlpath.deep.parts.vec import make_env

Array = np.ndarray[Any, Any]
Behavior = Callable[[Array, np.random.Generator], int]
"""The policy that records: from an observation and a generator to an action."""


class RecordedEpisode(NamedTuple):
    """One episode of T steps: `obs` has T + 1 rows, the others T."""

    obs: Array
    action: Array
    reward: Array
    terminated: Array
    truncated: Array


def record(env_id: str, behavior: Callable[[int], Behavior], steps: int, seed: int) -> list[RecordedEpisode]:
    """Whole episodes of at least `steps` steps together; `behavior(i)` acts in episode i, which begins at seed + i."""
    env, episodes, taken = make_env(env_id), [], 0
    while taken < steps:
        rng = np.random.default_rng([seed, len(episodes)])
        act = behavior(len(episodes))
        rows = [np.asarray(env.reset(seed=seed + len(episodes))[0])]
        actions, rewards, ended, cut = [], [], [False], [False]
        while not (ended[-1] or cut[-1]):
            actions.append(act(rows[-1], rng))
            row, reward, terminated, truncated, _ = env.step(actions[-1])
            rows.append(np.asarray(row))
            rewards.append(float(reward))
            ended.append(bool(terminated))
            cut.append(bool(truncated))
        taken += len(actions)
        flags = (np.array(column[1:]) for column in (ended, cut))
        episodes.append(
            RecordedEpisode(np.stack(rows).astype(np.float32), np.array(actions), np.array(rewards), *flags)
        )
    env.close()
    return episodes


def returns(episodes: Sequence[RecordedEpisode]) -> Array:
    """The undiscounted return of each episode."""
    return np.array([episode.reward.sum() for episode in episodes])


def transitions(episodes: Sequence[RecordedEpisode]) -> Transitions:
    """All steps of all episodes. Where the time ran out the value of the last state still counts."""
    columns = (
        np.concatenate([episode.obs[:-1] for episode in episodes]),
        np.concatenate([episode.action for episode in episodes]),
        np.concatenate([episode.reward for episode in episodes]).astype(np.float32),
        np.concatenate([episode.obs[1:] for episode in episodes]),
        np.concatenate([episode.terminated for episode in episodes]).astype(np.float32),
    )
    return Transitions(*(torch.from_numpy(column) for column in columns))


def batches(data: Transitions, updates: int, batch_size: int, seed: int) -> Iterator[Transitions]:
    """`updates` batches, their rows drawn uniformly with replacement."""
    rng = np.random.default_rng(seed)
    for _ in range(updates):
        index = torch.from_numpy(rng.integers(len(data.reward), size=batch_size))
        yield Transitions(*(column[index] for column in data))


def write_minari(folder: Path, name: str, env_id: str, episodes: Sequence[RecordedEpisode], algorithm: str) -> Path:
    """Write `episodes` as Minari's data set `name` (as cartpole/random-v0) below `folder`; its path.

    Raises `InputError` where Minari is missing.
    """
    minari = _minari()
    buffer: Any = importlib.import_module("minari.data_collector.episode_buffer")
    buffers = [
        buffer.EpisodeBuffer(
            id=number,
            observations=episode.obs,
            actions=episode.action,
            rewards=episode.reward.tolist(),
            terminations=episode.terminated.tolist(),
            truncations=episode.truncated.tolist(),
        )
        for number, episode in enumerate(episodes)
    ]
    about = {"author": "rlpath", "author_email": "none", "code_permalink": "none", "data_format": "hdf5"}
    with _kept_in(folder):
        if (folder / name).exists():
            minari.delete_dataset(name)
        minari.create_dataset_from_buffers(
            name,
            buffers,
            env=env_id,
            eval_env=env_id,
            algorithm_name=algorithm,
            description="recorded by rlpath",
            **about,
        )
    return folder / name


def read_minari(path: Path) -> list[RecordedEpisode]:
    """The episodes of a data set of Minari's with vectors observed and Discrete actions."""
    with _kept_in(path):
        data = _minari().MinariDataset(path / "data")
        return [
            RecordedEpisode(
                np.asarray(each.observations, np.float32), np.asarray(each.actions), np.asarray(each.rewards),
                np.asarray(each.terminations), np.asarray(each.truncations),
            )
            for each in data.iterate_episodes()
        ]  # fmt: skip


@contextmanager
def _kept_in(folder: Path) -> Iterator[None]:
    """While entered Minari keeps its data sets below `folder`."""
    before = os.environ.get("MINARI_DATASETS_PATH")
    os.environ["MINARI_DATASETS_PATH"] = str(folder)
    try:
        yield
    finally:
        del os.environ["MINARI_DATASETS_PATH"]
        if before is not None:
            os.environ["MINARI_DATASETS_PATH"] = before


def _minari() -> Any:
    try:
        import h5py  # noqa: F401
        import minari
    except ImportError as why:
        raise InputError(f"data sets in Minari's format need {why.name}: pip install 'rlpath[envs]'") from None
    return minari
