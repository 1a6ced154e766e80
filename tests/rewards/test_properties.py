"""Properties: equal rewritings are accepted, changed values refused, and no text breaks or stalls a verifier."""

from __future__ import annotations

import time
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlpath.core.types import Verifier
from rlpath.rewards import ChoiceVerifier, ExactVerifier, FormatVerifier, JSONVerifier, MathVerifier, NumberVerifier

fractions = st.fractions(min_value=-1000, max_value=1000, max_denominator=400)
integers = st.integers(-(10**12), 10**12)
polynomials = st.lists(st.integers(-9, 9), min_size=2, max_size=5).filter(lambda c: c[-1] != 0)
maths = MathVerifier()
number = NumberVerifier()


def latex(value: Fraction) -> str:
    sign = "-" if value < 0 else ""
    return f"{sign}\\frac{{{abs(value.numerator)}}}{{{value.denominator}}}"


def expanded(coefficients: list[int], variable: str = "x") -> str:
    return "+".join(f"({c})*{variable}^{n}" for n, c in enumerate(coefficients))


def horner(coefficients: list[int]) -> str:
    text = str(coefficients[-1])
    for c in reversed(coefficients[:-1]):
        text = f"({text})x+({c})"
    return text


@given(integers, st.sampled_from(["{:,}", "{}.0", "+{}", "${:,}", "{:,} dollars", "{}.", "**{}**"]))
def test_written_integers_are_accepted(value: int, style: str) -> None:
    """Thousands, decimals, currency, units and markup do not change a number."""
    if value < 0 and style == "+{}":
        style = "{}"
    assert number(f"The answer is {style.format(value)}", str(value)).correct
    assert number(f"#### {style.format(value)}", str(value)).correct


@given(integers, st.integers(1, 10**6))
def test_other_integers_are_refused(value: int, shift: int) -> None:
    """Another number is never accepted, however near."""
    assert number(f"#### {value + shift}", str(value)).score == 0
    assert number(f"#### {value}.{shift:07d}", str(value)).score == 0
    assert number(f"The answer is {value} or {value + shift}.", str(value)).score == 0


@given(fractions, st.integers(1, 30))
def test_equal_fractions_are_accepted(value: Fraction, factor: int) -> None:
    """Expanding a fraction, or writing it plainly, does not change it."""
    top, bottom = value.numerator * factor, value.denominator * factor
    for text in (latex(value), f"{top}/{bottom}", f"\\dfrac{{{top}}}{{{bottom}}}", f"({top})\\cdot\\frac1{{{bottom}}}"):
        assert maths(f"\\boxed{{{text}}}", latex(value)).correct


@given(fractions, st.fractions(min_value=Fraction(1, 10**30), max_value=1, max_denominator=10**30))
def test_near_fractions_are_refused(value: Fraction, shift: Fraction) -> None:
    """A value that differs by as little as one part in 10^30 is refused."""
    assert maths(f"\\boxed{{{latex(value + shift)}}}", latex(value)).score == 0


@given(polynomials, st.integers(-5, 5).filter(bool), st.integers(0, 4))
@settings(max_examples=50)
def test_polynomials_in_two_forms(coefficients: list[int], change: int, at: int) -> None:
    """Horner's form is accepted; a change in one coefficient is not."""
    assert maths(f"\\boxed{{{horner(coefficients)}}}", expanded(coefficients)).correct
    changed = list(coefficients) + [0] * (at + 1 - len(coefficients))
    changed[at] += change
    assert not maths(f"\\boxed{{{horner(changed)}}}", expanded(coefficients)).correct


@given(st.integers(2, 40), st.integers(2, 40), st.integers(-9, 9))
@settings(max_examples=50)
def test_radicals(a: int, b: int, c: int) -> None:
    """sqrt(a^2 b) + c is a sqrt(b) + c, and not that with b + 1."""
    gold = f"{a}\\sqrt{{{b}}}+({c})"
    assert maths(f"\\boxed{{\\sqrt{{{a * a * b}}}+({c})}}", gold).correct
    assert not maths(f"\\boxed{{\\sqrt{{{a * a * (b + 1)}}}+({c})}}", gold).correct


@given(st.lists(st.integers(-50, 50), min_size=2, max_size=6, unique=True), st.randoms(use_true_random=False))
def test_sets_are_unordered_and_complete(items: list[int], random: object) -> None:
    """Any order of a set is accepted; one element less or more is not."""
    gold = "\\{" + ",".join(map(str, items)) + "\\}"
    shuffled = sorted(items, key=lambda _: random.random())  # type: ignore[attr-defined]
    assert maths(f"\\boxed{{\\{{{', '.join(map(str, shuffled))}\\}}}}", gold).correct
    assert not maths(f"\\boxed{{\\{{{', '.join(map(str, items[1:]))}\\}}}}", gold).correct
    assert not maths(f"\\boxed{{\\{{{', '.join(map(str, [*items, 99]))}\\}}}}", gold).correct


FRAGMENTS = (
    "\\boxed{", "}", "{", "\\frac", "\\sqrt", "^", "_", "(", ")", "[", "]", "$", "####", "the answer is ", "<think>",
    "</think>", "<answer>", "</answer>", " or ", ",", "7", "1e9", "!", "|", "\\begin{pmatrix}", "\\end{pmatrix}",
    "\\text{", "x", "\n", ".",
    "²", "½", "−", "\\pm ", "\\cup ", "\\infty", "%", "=", "<=", "\\\\", "&", "```", '"', ":", "A) ", "not ", "\u200b",
)  # fmt: skip
texts = st.one_of(
    st.text(max_size=300),
    st.lists(st.sampled_from(FRAGMENTS), max_size=60).map("".join),
    st.tuples(st.sampled_from(FRAGMENTS), st.integers(1000, 3000)).map(lambda pair: pair[0] * pair[1]),
)


@pytest.mark.parametrize(
    ("verifier", "gold"),
    [
        (number, "7"),
        (maths, "\\frac{x}{2}"),
        (maths, "[1,2)"),
        (maths, "\\{1,2\\}"),
        (ChoiceVerifier(), "B"),
        (ExactVerifier(), "7"),
        (FormatVerifier(), "think_answer"),
        (JSONVerifier(), '{"type": "integer"}'),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else value,
)
@given(text=texts, truncated=st.booleans())
@settings(max_examples=80, deadline=2000)
def test_no_text_breaks_a_verifier(verifier: Verifier, gold: str, text: str, truncated: bool) -> None:
    """Whatever was written, there is a verdict, and within two seconds."""
    verifier(text, gold, question=text[:100], truncated=truncated)


LONG = [
    fragment * (100_000 // len(fragment))
    for fragment in (*FRAGMENTS, "$x$", "A: 5\n", "\\[ ", "(1,2)", "a+", "\\boxed{1}")
]


@pytest.mark.parametrize(
    "verifier", [number, maths, ChoiceVerifier(), ExactVerifier(), JSONVerifier()], ids=lambda v: type(v).__name__
)
def test_long_texts_end_in_time(verifier: Verifier) -> None:
    """100 kB of any repeated fragment takes under two seconds."""
    for text in LONG:
        started = time.perf_counter()
        verifier(text, "7")
        assert time.perf_counter() - started < 2, text[:40]
