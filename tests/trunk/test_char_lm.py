"""The learned bigram model reaches the counted one's loss; a network on few names overfits, and three cures help."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rlpath.envs.files import data_file
from rlpath.trunk.char_lm import (
    ARMS,
    CharacterMLP,
    contexts,
    count_pairs,
    counted,
    learned,
    read_names,
    split,
    table_loss,
    train,
)

NAMES = ["anna", "ada", "nadia", "dana", "ida", "ana", "nina", "dina"]


def test_contexts_hold_the_characters_before() -> None:
    """Two characters before each of "ab" and before its end."""
    before, after = contexts(["ab"], 2)
    assert before.tolist() == [[0, 0], [0, 1], [1, 2]]
    assert after.tolist() == [1, 2, 0]


def test_the_learned_table_reaches_the_counted_ones_loss() -> None:
    """The loss of the counted table is the conditional entropy of the counts; descent arrives within 1e-4 nats."""
    counts = count_pairs(NAMES)
    table = counted(counts)
    entropy = -(counts / counts.sum() * np.log(table)).sum()
    assert table_loss(table, counts) == pytest.approx(entropy, rel=1e-12)
    assert table_loss(learned(counts), counts) == pytest.approx(entropy, abs=1e-4)


def test_no_other_table_beats_the_counted_one() -> None:
    """Moving any probability makes the loss larger."""
    counts = count_pairs(NAMES)
    rng = np.random.default_rng(0)
    best = table_loss(counted(counts), counts)
    for _ in range(20):
        other = counted(counts) * rng.uniform(0.8, 1.2, counts.shape)
        assert table_loss(other / other.sum(axis=1, keepdims=True), counts) > best


def test_a_split_shares_no_name() -> None:
    """Names that occur twice are on one side."""
    training, validation = split(NAMES * 3, held_out=3)
    assert len(training) + len(validation) == len(NAMES)
    assert not set(training) & set(validation)


def test_a_file_of_names(tmp_path: Path) -> None:
    """Lower case; lines that are no names are left out."""
    path = tmp_path / "names.txt"
    path.write_text("Anna\n\nO'Brien\nbob \n", encoding="utf-8")
    assert read_names(path) == ["anna", "bob"]


def test_dropout_keeps_the_mean_of_what_the_network_sees() -> None:
    """A mask of ones changes nothing."""
    model = CharacterMLP(np.random.default_rng(0))
    before, _ = contexts(NAMES, model.context)
    ones = np.ones((len(before), model.context * 8))
    np.testing.assert_array_equal(model(before).data, model(before, ones).data)


def test_overfitting_is_seen_and_three_cures_help() -> None:
    """On 300 names the held-out loss rises from its lowest point by over 0.2 nats, and each cure ends below it."""
    path = data_file("text/names.txt")
    if path is None:
        pytest.skip("text/names.txt is not in RLPATH_DATA")
    training, validation = split(read_names(path), held_out=300)
    curves = {name: train(arm, training, validation, seed=0, steps=300, every=30) for name, arm in ARMS.items()}
    overfitted = curves["few names"]
    assert overfitted.validation[-1] - overfitted.stopped > 0.2
    assert overfitted.training[-1] < overfitted.training[2] - 0.3
    for name, curve in curves.items():
        if name != "few names":
            assert curve.validation[-1] < overfitted.validation[-1] - 0.1, name
