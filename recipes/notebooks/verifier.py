"""A verifier in your own code: what it says, where a pattern is fooled, and how to measure both on labeled cases.

marimo edit recipes/notebooks/verifier.py
"""

import marimo

app = marimo.App()


@app.cell
def _():
    import re

    import marimo as mo

    from rlpath.rewards.verifiers.number import NumberVerifier

    return NumberVerifier, mo, re


@app.cell
def _(mo):
    mo.md("""
    # A verifier in your own code

    Eight completions of one problem, whose gold answer is 18, with what a careful reader would say of each.
    """)


@app.cell
def _():
    gold = "18"
    cases = [
        ("9 eggs at $2 each\n#### 18", True),
        ("The answer is **18**.", True),
        ("She makes $18.00 a day.", True),
        ("It is 18, or maybe 20.", False),
        ("18 is wrong. The answer is 20.", False),
        ("1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19", False),
        ("The answer is 180.", False),
        ("I cannot tell.", False),
    ]
    return cases, gold


@app.cell
def _(NumberVerifier, cases, gold, re):
    verify = NumberVerifier()
    verdicts = [verify(text, gold) for text, _ in cases]
    # What many reward functions do: is the number anywhere in the text?
    pattern = [bool(re.search(rf"\b{gold}\b", text)) for text, _ in cases]
    return pattern, verdicts


@app.cell
def _(cases, mo, pattern, verdicts):
    rows = [
        {"completion": text, "right": right, "pattern": found, "verifier": str(verdict.status), "why": verdict.reason}
        for (text, right), found, verdict in zip(cases, pattern, verdicts, strict=True)
    ]
    mo.ui.table(rows)


@app.cell
def _(cases, pattern, verdicts):
    labels = [right for _, right in cases]
    agree_verifier = sum(verdict.correct == right for verdict, right in zip(verdicts, labels, strict=True))
    agree_pattern = sum(found == right for found, right in zip(pattern, labels, strict=True))
    return agree_pattern, agree_verifier


@app.cell
def _(agree_pattern, agree_verifier, cases, mo):
    mo.md(f"""
    The verifier agrees with the reader on {agree_verifier} of {len(cases)} completions, the pattern on {agree_pattern}.
    A policy trained on the pattern learns to write many numbers. `as_trl_reward(NumberVerifier())` makes the verifier
    a reward function for TRL.
    """)


if __name__ == "__main__":
    app.run()
