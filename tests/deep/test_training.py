"""The course of a run: counting, checkpoints, what a resumed run reads back, and the digests of its result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from rlpath.core.errors import InputError
from rlpath.deep.parts.networks import mlp
from rlpath.deep.parts.training import Args, Training, box_size, require_space
from rlpath.deep.parts.vec import Episode
from rlpath.runs.run_folder import RunFolder


class Counter:
    """A part that counts."""

    def __init__(self) -> None:
        self.value = 0

    def state_dict(self) -> dict[str, int]:
        return {"value": self.value}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.value = state["value"]


def open_run(root: Path) -> RunFolder:
    return RunFolder.open(root, "test", {"lr": 1.0}, 0)


ARGS = Args(total_timesteps=100, checkpoint_every=30)


def go(run: RunFolder | None, stop: int = 10, args: Args = ARGS) -> tuple[Training, Counter, list[float]]:
    """Ten iterations of ten steps and an episode each; what was counted and drawn. `stop` abandons the run there."""
    part, rng, drawn = Counter(), np.random.default_rng(0), []
    training = Training(args, run, part=part, rng=rng)
    for iteration in training.iterations(10):
        if iteration == stop:
            return training, part, drawn
        part.value += 1
        drawn.append(rng.random())
        training.advance(10, [Episode(iteration / 3, iteration + 1)])
        training.log({"losses/x": iteration / 7})
    training.result(mlp((1, 1), torch.nn.Tanh, torch.Generator()), lambda obs, _: obs)
    return training, part, drawn


def checkpoints(run: RunFolder) -> list[str]:
    return sorted(path.name for path in run.checkpoints.iterdir())


def test_checkpoints_are_written_between_iterations(tmp_path: Path) -> None:
    """Every 30 steps, the newest kept; the last at the end."""
    with open_run(tmp_path) as run:
        go(run, stop=8)
        assert checkpoints(run) == ["checkpoint-60"]
    with open_run(tmp_path) as run:
        go(run)
        assert checkpoints(run) == ["checkpoint-100"]


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    """Iterations, parts, the generator, episodes, losses and the lines on disk."""
    with open_run(tmp_path / "whole") as run:
        whole, part, drawn = go(run)
        lines = [{key: row[key] for key in row if key not in ("wall_s", "charts/SPS")} for row in run.metrics()]
    with open_run(tmp_path / "cut") as run:
        go(run, stop=8)
    with open_run(tmp_path / "cut") as run:
        resumed, same_part, rest = go(run)
        same_lines = [{key: row[key] for key in row if key not in ("wall_s", "charts/SPS")} for row in run.metrics()]

    assert (resumed.step, resumed.episodes, resumed.losses) == (whole.step, whole.episodes, whole.losses)
    assert same_part.value == part.value == 10
    assert rest == drawn[6:], "it must go on from the checkpoint of iteration 6"
    assert same_lines == lines


def test_a_finished_run_is_not_written_again(tmp_path: Path) -> None:
    """A checkpoint that counts is never overwritten: killed halfway through that, nothing would be left."""
    with open_run(tmp_path) as run:
        go(run)
        before = {path: path.stat().st_mtime_ns for path in run.checkpoints.rglob("*")}
    with open_run(tmp_path) as run:
        training, part, drawn = go(run)
        assert {path: path.stat().st_mtime_ns for path in run.checkpoints.rglob("*")} == before
    assert (drawn, part.value, training.step) == ([], 10, 100)
    assert len(training.episodes) == 10


def test_without_checkpoints_a_run_starts_again(tmp_path: Path) -> None:
    """Nothing of the abandoned start stays in the log."""
    args = Args(total_timesteps=100, checkpoint_every=0)
    with open_run(tmp_path) as run:
        go(run, stop=8, args=args)
    with open_run(tmp_path) as run:
        training, _, drawn = go(run, args=args)
        assert checkpoints(run) == []
        assert len(run.metrics()) == 20
    assert (len(drawn), len(training.episodes)) == (10, 10)


def test_a_log_that_lost_lines_is_noticed(tmp_path: Path) -> None:
    """Its history would be another; the sentence says what to do."""
    with open_run(tmp_path) as run:
        go(run, stop=8)
        lines = (run.path / "metrics.jsonl").read_text().splitlines(keepends=True)
        (run.path / "metrics.jsonl").write_text("".join(lines[2:]))
    with (
        open_run(tmp_path) as run,
        pytest.raises(InputError, match="5 episodes up to step 60, its checkpoint counted 6"),
    ):
        go(run)


def test_a_checkpoint_of_other_parts_is_refused(tmp_path: Path) -> None:
    """For example of an older version of the algorithm."""
    with open_run(tmp_path) as run:
        go(run, stop=8)
    with open_run(tmp_path) as run, pytest.raises(InputError, match=r"holds \['part', 'rng'\], this run needs"):
        Training(ARGS, run, other=Counter())


def test_iterations_until_the_steps_are_used() -> None:
    """Without a count they end once `total_timesteps` have been taken."""
    training = Training(Args(total_timesteps=25))
    seen = []
    for iteration in training.iterations():
        training.advance(10, [])
        seen.append(iteration)
    assert (seen, training.step) == ([0, 1, 2], 30)


def test_a_loss_that_is_no_number_stops_the_run() -> None:
    """With its name and the step."""
    training = Training(ARGS)
    training.advance(10, [])
    with pytest.raises(FloatingPointError, match="losses/y became NaN at step 10"):
        training.log({"losses/x": 1.0, "losses/y": float("nan")})


def test_the_result_averages_the_last_episodes() -> None:
    """And its history is of steps, returns and lengths alone."""
    network = mlp((1, 1), torch.nn.Tanh, torch.Generator())

    def result(*returns: float) -> Any:
        training = Training(ARGS)
        for value in returns:
            training.advance(5, [Episode(value, 5)])
        return training.result(network, lambda obs, _: obs)

    assert result(1.0, 2.0, 4.0).last(2) == 3.0
    assert np.isnan(result().last())
    assert result(1.0, 2.0).history == result(1.0, 2.0).history != result(2.0, 1.0).history
    assert [episode.step for episode in result(1.0, 2.0).episodes] == [5, 10]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"seed": -1}, "seed must be not negative, got -1"),
        ({"total_timesteps": 0}, "total_timesteps must be positive, got 0"),
        ({"checkpoint_every": -5}, "checkpoint_every must be not negative, got -5"),
    ],
)
def test_fields_that_make_no_sense(fields: dict[str, Any], said: str) -> None:
    """Each is named with its value."""
    with pytest.raises(InputError, match=said):
        Args(**fields).check()


def test_spaces_of_another_kind() -> None:
    """The sentence names the space, what is needed, and what to do."""
    box = gymnasium.spaces.Box(-1, 1, (2, 2))
    with pytest.raises(InputError, match=r"the action space is Box.*needs Discrete; use SAC"):
        require_space(box, gymnasium.spaces.Discrete, "the action space", "use SAC")
    with pytest.raises(InputError, match=r"shape \(2, 2\).*FlattenObservation"):
        box_size(box, "the observation space")
    assert box_size(gymnasium.spaces.Box(-1, 1, (3,)), "the observation space") == 3
