"""Bits a byte: what the model's own logits give, intervals over documents, and paired differences."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rlpath.cli import main as cli
from rlpath.core.errors import InputError
from rlpath.evals.measure.perplexity import Predicted, predict

TEXTS = ["The cat sat.", "A dog ran over the hill and far away.", "Rain."]


def test_bits_a_byte_are_those_of_the_logits(tiny_model: Callable[..., Any], tiny_tokenizer: Any) -> None:
    """Every token but the beginning's counts once, also where a text is read in several windows."""
    model = tiny_model(seed=1)
    found = predict("tiny", model, tiny_tokenizer, TEXTS, window=8)
    expected = []
    for text in TEXTS:
        ids = tiny_tokenizer(text)["input_ids"]
        total = 0.0
        for at in range(0, len(ids), 7):
            part = torch.tensor([[1, *ids[at : at + 7]]])
            with torch.no_grad():
                steps = model(part).logits[0].log_softmax(-1)
            total -= sum(float(steps[i - 1, part[0, i]]) for i in range(1, part.shape[1]))
        expected.append(total)
    assert found.nats_D == pytest.approx(expected, rel=1e-4)
    assert found.tokens == sum(len(text) for text in TEXTS)
    assert found.bits_a_byte.estimate == pytest.approx(sum(expected) / math.log(2) / found.tokens, rel=1e-4)
    assert found.perplexity == pytest.approx(2**found.bits_a_byte.estimate, rel=1e-4), "a byte is a token here"


def test_the_interval_covers() -> None:
    """Of documents of unequal length the ratio's interval holds the true value in about 95 % of draws."""
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(1000):
        bytes_D = rng.integers(50, 400, 40).astype(float)
        nats_D = bytes_D * math.log(2) * rng.normal(1.2, 0.3, 40)
        interval = Predicted("m", nats_D, bytes_D, 1).bits_a_byte
        covered += interval.low <= 1.2 <= interval.high
    assert 0.93 <= covered / 1000 <= 0.97


def test_two_models_on_a_file(tiny_folder: Path, digit_folder: Path, tmp_path: Path, capsys: Any) -> None:
    """A line a model, and the paired difference; a model against itself differs by nothing."""
    path = tmp_path / "text.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    models = [str(tiny_folder), str(digit_folder), str(tiny_folder)]
    assert cli.run(["perplexity", *models, "--text", str(path)]) == 0
    said = capsys.readouterr().out
    assert said.count("bits a byte, perplexity") == 3
    assert "+0.0000 [+0.0000, +0.0000]" in said
    with pytest.raises(InputError, match="an interval needs 2"):
        (tmp_path / "one.txt").write_text("Only one.")
        cli.run(["perplexity", models[0], "--text", str(tmp_path / "one.txt")])
