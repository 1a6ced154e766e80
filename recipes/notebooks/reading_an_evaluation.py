"""Reading an evaluation: paired tests, many tests, and the smallest effect a test could have seen, on simulated models.

marimo edit recipes/notebooks/reading_an_evaluation.py
"""

import marimo

app = marimo.App()


@app.cell
def _():
    import marimo as mo
    import numpy as np

    from rlpath.core.stats import holm, mcnemar, mean_over_problems, minimal_detectable_effect

    return holm, mcnemar, mean_over_problems, minimal_detectable_effect, mo, np


@app.cell
def _(mo):
    mo.md("""
    # Reading an evaluation

    Two models answer the same 200 problems. We know the truth, because we simulate it: model A is no better than the
    baseline, model B is better by 8 points. Problems differ in difficulty, as real ones do.
    """)


@app.cell
def _(np):
    generator = np.random.default_rng(0)
    problems = 200
    easy = generator.beta(0.6, 0.9, problems)

    def answers(gain):
        return generator.random(problems) < np.clip(easy + gain, 0, 1)

    baseline, model_a, model_b = answers(0.0), answers(0.0), answers(0.08)
    return baseline, model_a, model_b


@app.cell
def _(baseline, mcnemar, mean_over_problems, model_a, model_b):
    levels = {
        name: mean_over_problems(found) for name, found in (("baseline", baseline), ("A", model_a), ("B", model_b))
    }
    p_values = [mcnemar(baseline, model_a), mcnemar(baseline, model_b)]
    return levels, p_values


@app.cell
def _(levels, mo):
    mo.ui.table(
        [
            {"model": name, "accuracy": f"{100 * i.estimate:.1f} % [{100 * i.low:.1f}, {100 * i.high:.1f}]"}
            for name, i in levels.items()
        ]
    )


@app.cell
def _(baseline, holm, minimal_detectable_effect, model_b, p_values):
    adjusted = holm(p_values)
    detectable = minimal_detectable_effect(baseline, model_b)
    return adjusted, detectable


@app.cell
def _(adjusted, detectable, mo):
    mo.md(f"""
    Two tests were declared, so both p-values are adjusted (Holm): A {adjusted[0]:.2f}, B {adjusted[1]:.2f}. The
    smallest effect that this evaluation detects in four cases of five is {100 * detectable:.1f} points. "No evidence of
    improvement" for B would say more about the 200 problems than about B: `rlpath power` gives the number needed.
    """)


if __name__ == "__main__":
    app.run()
