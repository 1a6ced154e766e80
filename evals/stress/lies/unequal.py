"""Lies of an unequal protocol: the baseline is the same model, asked, truncated, decoded or read less kindly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rlpath.evals.compare.comparison import points
from rlpath.evals.stress.lies.lie import Lie, gain
from rlpath.evals.stress.lies.material import LIMIT, Material, accuracies, right_1_P
from rlpath.evals.suite.paired import paired


def _against_itself(
    material: Material, name: str, what: str, baseline: NDArray[np.float64], why: str, ours: NDArray[np.float64]
) -> Lie:
    """`ours` less `baseline`, and beside it what one protocol for both says of a model against itself."""
    same = right_1_P(material.protocol)
    levels = f"It had {points(float(baseline.mean()))} % against {points(float(ours.mean()))} %."
    flattering, honest = gain(paired(baseline, ours)), gain(paired(same, same))
    return Lie(name, f"{what} {levels}", flattering, honest, f"{why} Honest: one protocol for both.")


def wrong_chat_template(material: Material) -> Lie:
    """Ours in chat, the baseline as plain text."""
    return _against_itself(
        material,
        "wrong chat template",
        "The baseline was given the same words as plain text, without the chat template that it was trained with.",
        right_1_P(material.no_chat),
        "Both sides are the same weights: the gain is the template's.",
        right_1_P(material.protocol),
    )


def truncation(material: Material) -> Lie:
    """The baseline truncated, and its truncated answers counted as wrong."""
    greedy = material.truncated.evaluation.of("greedy")
    truncated = sum(sample.finish_reason == "length" for sample in greedy) / len(greedy)
    return _against_itself(
        material,
        "truncation",
        f"The baseline was truncated after {LIMIT} tokens, ours after {material.task.max_tokens}.",
        right_1_P(material.truncated),
        f"{points(truncated)} % of the baseline's answers had not ended, and those were counted as wrong.",
        right_1_P(material.protocol),
    )


def strict_extraction(material: Material) -> Lie:
    """The baseline's answers read by a strict pattern."""
    strict = material.task.strict
    return _against_itself(
        material,
        "strict extraction",
        "The same completions were read twice: ours by the verifier, the baseline's by a pattern that wants a number "
        "and nothing else.",
        right_1_P(material.protocol, lambda completion, gold: strict(completion, gold).correct),
        "A right answer in a sentence counts as wrong on one side only: the gain is the format's.",
        right_1_P(material.protocol),
    )


def unequal_decoding(material: Material) -> Lie:
    """Ours greedy, the baseline sampled."""
    temperature = material.plan.temperature
    return _against_itself(
        material,
        "unequal decoding",
        f"The baseline was sampled once at temperature {temperature:g}, ours was decoded greedily.",
        material.sampled_P_n()[None, :, 0],
        "A small model loses by being sampled; both sides are the same weights.",
        right_1_P(material.protocol),
    )


def other_prompt(material: Material) -> Lie:
    """Ours by the template that suits best, the baseline by the one that suits worst, as another harness would."""
    figures = accuracies(material.ways)
    best, worst = material.ways[int(np.argmax(figures))], material.ways[int(np.argmin(figures))]
    return _against_itself(
        material,
        "another harness for the baseline",
        f"The baseline's number is of a harness that asks {worst.template.text!r}, ours of one that asks "
        f"{best.template.text!r}.",
        right_1_P(worst),
        "Numbers of two harnesses differ by their prompts before any model does.",
        right_1_P(best),
    )
