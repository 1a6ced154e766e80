"""The kinds of fault that attacks on the verifiers found, one table a kind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rlpath.rewards import MathVerifier, NumberVerifier
from rlpath.rewards.audit.measure import Tally, grade, read_cases

maths, number = MathVerifier(), NumberVerifier()
DATA = os.environ.get("RLPATH_DATA")

SURROUNDED = [
    r"-\boxed{18}", r"The answer is -\boxed{18}.", r"so 3 - \boxed{18}", r"2\boxed{18}", r"\log \boxed{18}",
    r"\boxed{18} x",
    r"\boxed{18}\pi", r"\boxed{18}e^2", r"-\,\boxed{18}", r"0.\boxed{18}", r"\boxed{18} hundred", r"$-\boxed{18}$",
    r"\frac{1}{\boxed{18}}", r"half of \boxed{18}", r"(\boxed{18})^2", r"\ln(\boxed{18})", r"\boxed{18} is wrong",
    r"The answer is not \boxed{18}", r"The wrong answer is \boxed{18}", r"the square root of $\boxed{18}$",
]  # fmt: skip
ALONE = [
    r"$x = 9\cdot 2 = \boxed{18}$", r"- \boxed{18}", r"Total: \boxed{18} m", r"\implies \boxed{18}",
    r"\boxed{18} (dollars)",
    r"\color{blue}\boxed{18}", r"\boxed{18} a day", r"answer: ${\boxed{18}}$", "答案是\\boxed{18}。",
    r"\boxed{18}\text{ cm}",
    r"Final Answer: The final answer is $\boxed{18}$. I hope it is correct.", "**Answer:** The answer is 18.",
    r"The answer is even. \boxed{18}", "Ответ: 18", "答案：18", "La respuesta es 18.",
]  # fmt: skip
CALCULATED = [
    "18 minus 2", "18 times 2", "18 out of 20", "18 or more", "18 is wrong", "18 dozen", "√18", "18 squared",
    "18 and a half", "18% of 50", r"\boxed{18 \text{ apples minus } 2}", r"\boxed{18\text{ below zero}}", "half of 18",
    "The answer is 18, or twenty.", "three times 18", "18 divided by 2", "the sum of 3 and 18",
    "18, or not", r"\boxed{18} or maybe not", "The answer is 18, or is it 20?",
    "I doubt it is 18.", "I doubt the answer is 18.", "It is doubtful that it is 18.",
]  # fmt: skip
READ = [
    ("#### $25,000/year", "25000"), ("#### Seth is 16 years old", "16"), ("#### 2:00 pm", "2"),
    ("x = #### 60 = 60", "60"),
    ("They made #### 45 fruit roll-ups in total.", "45"), (r"\boxed{1{,}200}", "1200"), ("18 (9 × 2)", "18"),
    (r"\boxed{60}%", "60"), ("10^6", "1000000"), ("two thirds", "2/3"), ("The total is one hundred and five.", "105"),
    ("It is 18, not 20.", "18"), ("There is no doubt that it is 18.", "18"), ("Ans:18", "18"),
]  # fmt: skip
EQUAL = [
    (r"\boxed{x^2-1=(x-1)(x+1)}", "x^2-1"), (r"\boxed{\frac{x}{y} = 7}", "7"), ("$g(2) = 7$", "7"), ("minus 4", "-4"),
    ("- 1\n- 2\n- 3", "1,2,3"), (r"\{x \in \mathbb{R} \mid x>2\}", "x > 2"), (r"\boxed{4}", r"4 \pmod 9"),
    (r"x \equiv 13 \pmod 9", r"4 \pmod 9"), ("It is a Monday.", r"\text{Monday}"), (r"\boxed{400,300}", "300, 400"),
    ("The limit does not exist.", "DNE"), (r"\boxed{20 \frac{\text{km}}{\text{h}}}", r"20 \text{ km/h}"),
    (r"\boxed{x^2+c}", "x^2+C"), (r"\boxed{1 048 576}", "1048576"), (r"\boxed{x^{2/3}}", r"\sqrt[3]{x^2}"),
    (r"\boxed{\frac{\pi}{6}+2n\pi, n\in\mathbb{Z}}", r"\frac{\pi}{6}+2k\pi"), (r"\boxed{2\pi cm}", r"2\pi"),
    (r"\boxed{\text{Paolo: }18, \text{Qing: }14}", "18, 14"), ("12th day", "12"), (r"\boxed{x>-1, x<2}", "-1<x<2"),
]  # fmt: skip
UNEQUAL = [
    (r"\boxed{5 \text{ and 6}}", "5"), (r"\boxed{5 \text{ to 9}}", "5"), (r"\boxed{|x-5|}", "5-x"), ("-g(x)", "g(-x)"),
    (r"\boxed{\sqrt{(x+20)^2}-20}", "x"), (r"\{x \in \mathbb{N} \mid x>2\}", "x>2"), ("f(x)+1", "f(x+1)"),
    (r"\boxed{a=1,b=2}", "1,2"), (r"4 \pmod 7", r"4 \pmod 9"), ("It is not Monday.", r"\text{Monday}"),
    ("It is Monday or Tuesday.", r"\text{Monday}"), ("It is the day after Monday.", r"\text{Monday}"),
    ("It is between Sunday and Monday.", r"\text{Monday}"), ("10:30 p.m.", "10:30 a.m."), (r"\boxed{2x=6}", "6"),
]  # fmt: skip
UNFINISHED = [
    (r"37 \cdot 43 + 0", "1591", r"What is $37 \cdot 43$?"), (r"40^2-3^2", "1591", r"What is $37 \cdot 43$?"),
    (r"\max(37\cdot 43, 0)", "1591", r"What is $37 \cdot 43$?"), (r"\gcd(12,6)", "6", "Find the gcd of 12 and 18."),
    (r"\cos 30^\circ", r"\frac{\sqrt{3}}{2}", r"Evaluate $\sin 60^\circ$."),
    (r"2\sqrt{12}", r"4\sqrt{3}", r"Simplify $\sqrt{48}$."),
    ("(x^2-5x+6)^1", "(x-2)(x-3)", "Factor $x^2-5x+6$."), ("(x+1)^3+0", "x^3+3x^2+3x+1", "Expand $(x+1)^3$."),
    (r"\frac{1.5}{2}", r"\frac{3}{4}", "Write 0.75 as a fraction in lowest terms."),
]  # fmt: skip
# Verdicts kept against the label: a percent sign is read as the gold answer is, in words as in signs.
KEPT = {(r"\boxed{5 \text{ per cent}}", "5")}


@pytest.mark.parametrize("completion", SURROUNDED)
def test_what_surrounds_a_box_counts(completion: str) -> None:
    """A box that is a part of something larger, or denied, is no answer."""
    assert not maths(completion, "18").correct
    assert not number(completion, "18").correct


@pytest.mark.parametrize("completion", ALONE)
def test_a_box_among_words_stands_alone(completion: str) -> None:
    """Words, dress and units beside a box change nothing, nor does the language of the sentence."""
    assert maths(completion, "18").correct
    assert number(completion, "18").correct


@pytest.mark.parametrize("completion", CALCULATED)
def test_a_number_in_a_calculation_is_no_answer(completion: str) -> None:
    """A number is not cut out of what is done to it."""
    assert not maths(completion, "18").correct
    assert not number(completion, "18").correct


@pytest.mark.parametrize(("completion", "gold"), READ)
def test_numbers_as_people_write_them(completion: str, gold: str) -> None:
    """Free text of the kind of GSM8K."""
    assert number(completion, gold).correct


@pytest.mark.parametrize(("completion", "gold"), EQUAL)
def test_equal_mathematics(completion: str, gold: str) -> None:
    """Other ways to write the gold answer."""
    assert maths(completion, gold).correct


@pytest.mark.parametrize(("completion", "gold"), UNEQUAL)
def test_other_mathematics(completion: str, gold: str) -> None:
    """What only looks like the gold answer."""
    assert not maths(completion, gold).correct


@pytest.mark.parametrize(("text", "gold", "question"), UNFINISHED)
def test_the_asked_form_is_reached(text: str, gold: str, question: str) -> None:
    """An answer equal to the gold but not in the form asked for is not finished; the gold itself is."""
    assert not maths(f"\\boxed{{{text}}}", gold, question=question).correct
    assert maths(f"\\boxed{{{gold}}}", gold, question=question).correct


@pytest.mark.skipif(DATA is None, reason="RLPATH_DATA is not set")
def test_the_labeled_attack() -> None:
    """On the 1,072 cases of the attack, precision is at least .985 and recall at least .96."""
    graded = tuple(grade(read_cases(Path(DATA or "") / "verifier_cases/attack_2026-11.jsonl")))
    tally = Tally("all", graded)
    assert tally.precision >= 0.985
    assert tally.recall >= 0.96
    accepted = {(g.case.completion, g.case.gold) for g in graded if g.accepted and not g.case.expected}
    assert accepted == KEPT
