"""The estimate of pretraining: counts by hand, memory as autograd keeps it, and the time of a run that was measured."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from rlpath.cli.pretraining import GPUS, MeasuredSpeed, PretrainingJob, count, duration, job_of, lines, measure, memory
from rlpath.core.errors import InputError

torch = pytest.importorskip("torch")
SMALL = PretrainingJob(vocabulary=256, width=64, layers=2, heads=2, hidden=160, context=64, batch=8)


def test_parameters_and_operations_are_those_counted_by_hand() -> None:
    """As the model itself counts them; 6 N and the attention scores a token."""
    from rlpath.trunk.gpt import GPT, Shape

    model = GPT(Shape(256, 64, 2, 2, 160, 64))
    assert SMALL.parameters == model.parameter_count == 256 * 64 + 2 * (4 * 64**2 + 3 * 64 * 160 + 128) + 64
    assert SMALL.operations == 6 * SMALL.parameters + 12 * 2 * 64 * 64


@pytest.mark.parametrize("wanted", [5e6, 10e6, 100e6, 1e9])
def test_the_shape_is_near_to_what_was_asked_for(wanted: float) -> None:
    """Depth and width grow together, so not every number can be met."""
    assert job_of(wanted, 4096, 256, 8).parameters == pytest.approx(wanted, rel=0.35)


def test_a_measured_run_takes_what_was_estimated() -> None:
    """Fifty steps of a small model against the estimate, in processor time, within 25 %."""
    from torch.nn import functional as F

    from rlpath.trunk.gpt import GPT, Shape

    torch.set_num_threads(1)
    found = measure(SMALL, time.process_time)
    model = GPT(Shape(256, 64, 2, 2, 160, 64))
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    ids = torch.randint(256, (50, 8, 64))
    started = time.process_time()
    for batch in ids:
        optimizer.zero_grad()
        F.cross_entropy(model(batch).flatten(0, 1), batch.flatten()).backward()
        optimizer.step()
    taken = time.process_time() - started
    estimated = SMALL.operations * ids.numel() / found.training
    assert estimated == pytest.approx(taken, rel=0.25)
    assert found.training < found.peak


def test_memory_grows_with_depth_as_autograd_keeps_it() -> None:
    """Of a model of four layers, from what one of two keeps: within 2 %."""
    found = measure(SMALL)
    deep = replace(SMALL, layers=4)
    assert memory(deep, found) == pytest.approx(memory(deep, measure(deep)), rel=0.02)
    assert memory(SMALL, found) > 16 * SMALL.parameters


def test_what_is_said_follows_from_the_rates() -> None:
    """Time is operations over rate; a GPU that is too small is told; Chinchilla's tokens stand beside."""
    said = "\n".join(lines(SMALL, 1e6, MeasuredSpeed(1e9, 4e9, 1e3, 1e3), threads=1))
    assert duration(SMALL.operations * 1e6 / 1e9) in said and "25 %" in said
    assert f"{20 * SMALL.parameters:,} tokens" in said
    assert all(name in said for name in GPUS) and said.count("yes") == len(GPUS)
    assert "no" in "\n".join(lines(SMALL, 1e6, MeasuredSpeed(1e9, 4e9, 1e12, 0.0), threads=1)).split()


def test_numbers_with_units_are_read_and_others_refused() -> None:
    """10M, 200k, 1.5B; not 10X, nor nothing, nor a model smaller than its embedding."""
    assert [count(text) for text in ("10M", "200k", "1.5B", "7")] == [10e6, 200e3, 1.5e9, 7]
    for text in ("10X", "", "-1M", "0"):
        with pytest.raises(InputError, match="no number"):
            count(text)
    with pytest.raises(InputError, match="vocabulary"):
        job_of(1000, 4096, 256, 8)
