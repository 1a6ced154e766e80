"""Fuzz the verifiers: random texts from the fragments that attacks are made of, until the time is over.

Run `python scripts/fuzz_verifiers.py --minutes 5`. It stops at the first exception or verdict that takes over two
seconds, and prints the verifier, the seed and the text.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

import tyro

from rlpath.core.errors import run_command
from rlpath.rewards import ChoiceVerifier, ExactVerifier, FormatVerifier, JSONVerifier, MathVerifier, NumberVerifier

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
    r"\frac{1}{2}",
)


@dataclass(frozen=True)
class Args:
    """Fuzz the verifiers."""

    minutes: float = 1.0
    """How long to go on."""
    seed: int = 0
    """Seed of the first text; each next one adds one."""


def main(args: Args) -> int:
    verifiers = [
        (MathVerifier(), GOLDS),
        (NumberVerifier(), ("7", "0.5")),
        (ChoiceVerifier(), ("B",)),
        (ExactVerifier(), ("7",)),
        (FormatVerifier(), ("think_answer", "max_words=5")),
        (JSONVerifier(), ('{"type": "object"}', "equal:7")),
    ]
    end = time.monotonic() + 60 * args.minutes
    seed = args.seed
    while time.monotonic() < end:
        text = random_text(random.Random(seed))
        for verifier, golds in verifiers:
            for gold in golds:
                started = time.perf_counter()
                try:
                    verifier(text, gold)
                except BaseException:
                    print(f"{type(verifier).__name__}, gold {gold!r}, seed {seed}: {text!r}")
                    raise
                if time.perf_counter() - started > 2:
                    print(f"slow: {type(verifier).__name__}, gold {gold!r}, seed {seed}: {text[:500]!r}")
                    return 1
        seed += 1
    print(f"{seed - args.seed} texts, no exception, none over two seconds")
    return 0


def random_text(rng: random.Random) -> str:
    """Fragments joined at random, now and then one of them many times over, often inside a box."""
    pieces = [
        rng.choice(FRAGMENTS) * (rng.randint(50, 2000) if rng.random() < 0.01 else 1) for _ in range(rng.randint(1, 40))
    ]
    text = rng.choice(["", " "]).join(pieces)
    return f"\\boxed{{{text}}}" if rng.random() < 0.5 else text


if __name__ == "__main__":
    run_command(lambda: main(tyro.cli(Args)))
