"""What a run writes down: our names for TRL's numbers, whole checkpoints, and a stop that loses nothing."""

from __future__ import annotations

import math
import os
import signal
from pathlib import Path

import pytest
from transformers import TrainerControl, TrainerState, TrainingArguments

from rlpath.posttrain.observe import ProgressLine, Recorder, StopOnInterrupt, our_metrics
from rlpath.runs.run_folder import RunFolder


@pytest.fixture
def args(tmp_path: Path) -> TrainingArguments:
    return TrainingArguments(output_dir=str(tmp_path / "out"), use_cpu=True, report_to=[])


def state(step: int = 3, steps: int = 10) -> TrainerState:
    found = TrainerState()
    found.global_step, found.max_steps = step, steps
    return found


def test_trl_names_become_ours() -> None:
    """Renamed, passed on, or left out; what is not a finite number is left out too."""
    logs = {
        "reward": 0.5,
        "frac_reward_zero_std": 0.25,
        "completions/mean_length": 12.0,
        "clip_ratio/region_mean": 0.0,
        "num_tokens": 1234,
        "step_time": 2.0,
        "status/correct": 0.5,
        "logprob_gap/mean": 0.01,
        "seconds/generate": 1.0,
        "length/wrong": math.nan,
        "kl": None,
        "rewards/verify/mean": 0.5,
        "epoch": 0.1,
    }

    assert our_metrics(logs) == {
        "reward": 0.5,
        "groups/no_signal": 0.25,
        "length/mean": 12.0,
        "clip_ratio": 0.0,
        "tokens": 1234.0,
        "seconds/step": 2.0,
        "status/correct": 0.5,
        "logprob_gap/mean": 0.01,
        "seconds/generate": 1.0,
    }
    assert our_metrics({}) == {}


def test_the_recorder_writes_steps_and_marks_checkpoints(args: TrainingArguments, tmp_path: Path) -> None:
    """A line for every step with a reward, none for the closing summary; two checkpoints stay, and a report so far."""
    with RunFolder.open(tmp_path, "grpo", {"steps": 8}, 0) as run:
        recorder = Recorder(run)
        args.output_dir = str(run.checkpoints)
        for step in (1, 2, 3):
            recorder.on_log(args, state(step), TrainerControl(), logs={"reward": step / 4, "loss": 0.0})
            folder = run.checkpoints / f"checkpoint-{step}"
            folder.mkdir()
            (folder / "weights").write_bytes(b"12")
            recorder.on_save(args, state(step), TrainerControl())
        recorder.on_log(args, state(3), TrainerControl(), logs={"train_runtime": 1.0})

        assert [(row["step"], row["reward"]) for row in run.metrics()] == [(1, 0.25), (2, 0.5), (3, 0.75)]
        assert run.last_checkpoint() == run.checkpoints / "checkpoint-3"
        assert sorted(path.name for path in run.checkpoints.iterdir()) == ["checkpoint-2", "checkpoint-3"]
        assert "has not finished: the last logged step is 3 of 8." in (run.path / "report.html").read_text()


def test_other_processes_record_nothing(args: TrainingArguments, tmp_path: Path) -> None:
    """They only wait for the main one."""
    recorder = Recorder(None)
    recorder.on_log(args, state(), TrainerControl(), logs={"reward": 1.0})
    recorder.on_save(args, state(), TrainerControl())
    assert list(tmp_path.iterdir()) == []


def test_progress_is_a_line_a_step_where_the_output_is_no_terminal(
    args: TrainingArguments, capsys: pytest.CaptureFixture[str]
) -> None:
    """With reward, seconds a step and what is left: 7 steps of 2 s."""
    progress = ProgressLine()
    progress.on_train_begin(args, state(0), TrainerControl())
    progress.on_log(args, state(3), TrainerControl(), logs={"reward": 0.5, "step_time": 2.0})
    progress.on_log(args, state(3), TrainerControl(), logs={"train_runtime": 9.0})
    progress.on_train_end(args, state(), TrainerControl())

    assert capsys.readouterr().out == "step 3/10: reward 0.50, 2.0 s a step, about 14 s left\n"


def test_the_first_ctrl_c_ends_after_the_step_and_the_second_at_once(
    args: TrainingArguments, capsys: pytest.CaptureFixture[str]
) -> None:
    """The step in progress is finished and saved; outside training Ctrl-C is what it was before."""
    before = signal.getsignal(signal.SIGINT)
    stop, control = StopOnInterrupt(), TrainerControl()
    stop.on_train_begin(args, state(), control)
    stop.on_step_end(args, state(), control)
    assert not control.should_training_stop

    os.kill(os.getpid(), signal.SIGINT)
    assert "stopping after this step" in capsys.readouterr().err
    stop.on_step_end(args, state(), control)
    assert control.should_training_stop
    assert control.should_save
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
    stop.on_train_end(args, state(), control)
    assert signal.getsignal(signal.SIGINT) is before
