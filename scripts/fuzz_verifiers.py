"""Fuzz the verifiers: expressions grown from a grammar, and texts from the fragments that attacks are made of.

Run `python scripts/fuzz_verifiers.py --inputs 200000`. It stops at the first exception, also one that the guard caught,
and at the first verdict that takes over four seconds, and prints the verifier, the seed and the text.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

import tyro

from rlpath.core.errors import run_command
from rlpath.core.types import Verifier
from rlpath.rewards import (
    ChoiceVerifier,
    CountdownVerifier,
    ExactVerifier,
    FormatVerifier,
    InstructionVerifier,
    JSONVerifier,
    MathVerifier,
    NumberVerifier,
)
from rlpath.rewards.guard import failures

QUESTION = "What is $37 \\cdot 43$? Simplify.\nA) Lyon\nB) Paris"
TEXT = r"""\boxed{ } { \frac \sqrt \sqrt[3] ^ _ ( ) [ ] $ $$ #### <think> </think> <answer> </answer> or , ; 7 0.5 1e9
! !! | \left| \right| \begin{pmatrix} \end{pmatrix} \\ & \text{ x y \pi i e \infty \pm \cup \cap \in \{ \} % = <
\le \ne + - * / \cdot \times \binom \log_ \sin \cos^{-1} \lfloor \rfloor \overline{ . ... : ' " ² ½ − ١ A) B.
(C) not answer is
the \[ \] \( \) ``` ```json null true NaN 1/2 \mathbb{R} \setminus _8 cm degrees ^\circ \, \! maybe wait"""
FRAGMENTS = TEXT.split()
GOLDS = (
    "7",
    "x^2+1",
    "[1,2)",
    r"\{1,2\}",
    "(1,2)",
    "y=2x",
    r"x\le 3",
    r"\text{even}",
    "52_8",
    r"\pm 3",
    r"2x=\{\pm 1, 3\}",
    r"\frac{1}{2}",
    r"3 \pmod 7",
    "100, 200",
    r"\begin{pmatrix}1\\2\end{pmatrix}",
    r"\frac{\pi}{4}+k\pi",
    "1:2",
)
HEADS = (
    "\\frac{%s}{%s}",
    "\\sqrt[3]{%s}",
    "\\sqrt{%s}",
    "(%s)^{%s}",
    "\\max(%s, %s)",
    "\\binom{%s}{%s}",
    "|%s|",
    "-%s",
    "%s + %s",
    "%s \\cdot %s",
    "%s!",
    "\\log_{%s} %s",
    "\\sin %s",
    "\\{%s, %s\\}",
    "(%s, %s]",
    "%s = %s",
    "%s < %s",
    "%s \\pmod{%s}",
    "f(%s)",
    "\\lfloor %s \\rfloor",
    "%s^{-%s}",
    "%s \\text{ %s}",
    "\\pm %s",
    "\\gcd(%s, %s)",
    "%s \\cup %s",
    "%s, %s",
)
LEAVES = (
    "0",
    "1",
    "7",
    "-3",
    "0.5",
    "i",
    "x",
    "\\pi",
    "e",
    "\\infty",
    "99999",
    "10^{99}",
    "k",
    "\\frac{1}{3}",
    "1{,}200",
    "2 1/2",
)
SECONDS = 4.0
FENCED = '```json\n{"a": [1, 2, {"b": null}]}\n```'


@dataclass(frozen=True)
class Args:
    """Fuzz the verifiers."""

    inputs: int = 200_000
    """How many completions are judged, over all verifiers together."""
    seed: int = 0
    """Seed of the first text; each next one adds one."""


def verifiers() -> list[tuple[Verifier, tuple[str, ...]]]:
    """Every verifier but that of code, with gold answers for it."""
    return [
        (MathVerifier(), GOLDS),
        (NumberVerifier(), ("7", "0.5", "1200")),
        (ChoiceVerifier(), ("B", "Paris")),
        (ExactVerifier(), ("7",)),
        (CountdownVerifier(), ('{"numbers": [7, 1, 3], "target": 7}',)),
        (FormatVerifier(), ("think_answer", "max_words=5", "ifeval:detectable_format:title")),
        (
            InstructionVerifier(),
            ('ifeval:keywords:frequency {"relation": "at least", "keyword": "x", "frequency": 3}',),
        ),
        (JSONVerifier(), ('{"type": "object"}', "equal:7", '{"type": "array", "items": {"type": "object"}}')),
    ]


def main(args: Args) -> int:
    failures.clear()
    judged = 0
    seed = args.seed
    everyone = verifiers()
    while judged < args.inputs:
        rng = random.Random(seed)
        text = random_text(rng)
        for verifier, golds in everyone:
            gold = rng.choice(golds)
            started = time.perf_counter()
            verdict = verifier(
                text, gold, question=QUESTION if rng.random() < 0.3 else None, truncated=rng.random() < 0.1
            )
            if time.perf_counter() - started > SECONDS or verdict.reason.startswith("the verifier failed"):
                print(f"{type(verifier).__name__}, gold {gold!r}, seed {seed}: {verdict.reason} {text[:500]!r}")
                return 1
            judged += 1
        seed += 1
    print(f"{judged} verdicts on {seed - args.seed} texts: no exception, none over {SECONDS:g} seconds")
    return 0


def random_text(rng: random.Random) -> str:
    """An expression grown from the grammar, or fragments joined at random, now and then one of them many times over."""
    if rng.random() < 0.5:
        text = expression(rng, rng.randint(1, 5))
    else:
        often = [rng.randint(50, 2000) if rng.random() < 0.01 else 1 for _ in range(rng.randint(1, 40))]
        text = rng.choice(["", " "]).join(rng.choice(FRAGMENTS) * n for n in often)
    dress = rng.choice(
        ["%s", "\\boxed{%s}", "The answer is $%s$.", "#### %s", "<answer>%s</answer>", "$%s$ is it.", FENCED]
    )
    return dress.replace("%s", text)


def expression(rng: random.Random, depth: int) -> str:
    """A random mathematical expression of at most `depth` levels."""
    if depth == 0:
        return rng.choice(LEAVES)
    head = rng.choice(HEADS)
    return head % tuple(expression(rng, rng.randint(0, depth - 1)) for _ in range(head.count("%s")))


if __name__ == "__main__":
    run_command(lambda: main(tyro.cli(Args)))
