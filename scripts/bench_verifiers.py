"""Verdicts a CPU second and agreement with labels: ours, Math-Verify and TRL's accuracy reward on the same rows.

Run `python scripts/bench_verifiers.py` with RLPATH_DATA set; it needs math-verify and trl. Rows are the
labeled model solutions of GSM8K, and the gold answers of MATH-500 written in other ways (labeled true) and with
the next problem's gold answer (labeled false where the two differ).
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from rlpath.core.errors import InputError, run_command
from rlpath.envs.files import read_jsonl
from rlpath.rewards import MathVerifier, NumberVerifier

Judge = Callable[[str, str], float | None]


@dataclass(frozen=True)
class Args:
    """Time and compare verifiers on the same rows."""

    rows: int = 2000
    """At most this many rows of each set."""


@dataclass(frozen=True)
class BenchRow:
    completion: str
    gold: str
    expected: bool


def main(args: Args) -> int:
    data = os.environ.get("RLPATH_DATA")
    if not data:
        raise InputError("RLPATH_DATA is not set; point it to the data folder")
    sets = {"gsm8k solutions": gsm8k(Path(data), args.rows), "math-500 rewritten": math500(Path(data), args.rows)}
    print(f"{'rows':20}{'verifier':24}{'verdicts/cpu-s':>15}{'precision':>11}{'recall':>8}{'undecided':>11}")
    for name, rows in sets.items():
        ours = NumberVerifier() if name.startswith("gsm8k") else MathVerifier()
        judges: dict[str, Judge] = {type(ours).__name__: lambda c, g, v=ours: v(c, g).score}
        judges |= {"Math-Verify": math_verify(), "TRL accuracy_reward": trl_reward()}
        for label, judge in judges.items():
            print(measured(name, label, judge, rows), flush=True)
    return 0


def measured(name: str, label: str, judge: Judge, rows: Sequence[BenchRow]) -> str:
    """One line of the table. Each gold answer is seen once beforehand, so that imports are not timed."""
    judge(rows[0].completion, rows[0].gold)
    started = time.process_time()
    scores = [judge(row.completion, row.gold) for row in rows]
    rate = len(rows) / (time.process_time() - started)
    accepted = [row.expected for row, score in zip(rows, scores, strict=True) if score == 1.0]
    precision = sum(accepted) / max(1, len(accepted))
    recall = sum(accepted) / sum(row.expected for row in rows)
    undecided = sum(score is None for score in scores)
    return f"{name:20}{label:24}{rate:>15.0f}{precision:>11.4f}{recall:>8.4f}{undecided:>11}"


def gsm8k(data: Path, limit: int) -> list[BenchRow]:
    """The labeled model solutions."""
    rows = read_jsonl(data / "verifier_cases/gsm8k_model_solutions.jsonl")[:limit]
    return [BenchRow(r["completion"], r["gold"], r["expected"]) for r in rows]


def math500(data: Path, limit: int) -> list[BenchRow]:
    """Each gold answer in three dresses, and the next problem's gold answer as a wrong one."""
    golds = [row["answer"] for row in read_jsonl(data / "math/math500.jsonl")]
    rows = []
    for gold, other in zip(golds, golds[1:] + golds[:1], strict=True):
        rows += [BenchRow(f"Thus we get $\\boxed{{{written}}}$.", gold, True) for written in rewritten(gold)]
        if not MathVerifier()(f"\\boxed{{{other}}}", gold).correct:
            rows.append(BenchRow(f"Thus we get $\\boxed{{{other}}}$.", gold, False))
    return rows[:limit]


def rewritten(gold: str) -> list[str]:
    """`gold` as it is, with display fractions and stretched brackets, and with wider spacing."""
    display = gold.replace("\\frac", "\\dfrac").replace("\\left", "").replace("\\right", "")
    spaced = re.sub(r",(?!\d{3}|\\!)", ", ", gold.replace("+", " + ").replace("=", " = "))
    return list(dict.fromkeys([gold, display, spaced]))


def math_verify() -> Judge:
    """Math-Verify as its documentation calls it."""
    from math_verify import parse, verify

    return lambda completion, gold: float(verify(parse(f"${gold}$"), parse(completion)))


def trl_reward() -> Judge:
    """TRL's accuracy reward on one conversational completion."""
    from trl.rewards.accuracy_rewards import accuracy_reward

    def judge(completion: str, gold: str) -> float | None:
        return accuracy_reward([[{"role": "assistant", "content": completion}]], [f"${gold}$"])[0]

    return judge


if __name__ == "__main__":
    run_command(lambda: main(tyro.cli(Args)))
