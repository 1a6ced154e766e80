"""The benchmark beside lm-evaluation-harness: every disagreement has its reason, and the two are asked the same."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rlpath.core.errors import InputError
from rlpath.evals.suite.agreement import (
    INVALID,
    Answered,
    ComparedItem,
    HarnessAnswer,
    first_difference,
    report_completions,
    report_verdicts,
    why_verdicts_differ,
)
from rlpath.rewards.verifiers.number import NumberVerifier

ROOT = Path(__file__).resolve().parents[2]
needs_data = pytest.mark.skipif(
    not Path(os.environ.get("RLPATH_DATA", "/nonexistent"), "gsm8k/test.jsonl").exists(),
    reason="RLPATH_DATA has no GSM8K",
)


@pytest.fixture(scope="module")
def bench() -> Iterator[Any]:
    spec = importlib.util.spec_from_file_location("bench_eval", ROOT / "scripts" / "bench_eval.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["bench_eval"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["bench_eval"]


def item(
    mine: str, theirs: str, answer: str, correct: bool, *, truncated: bool = False, gold: str = "18"
) -> ComparedItem:
    """One item whose tokens are the letters of the text; `answer` is what the peer's pattern read."""
    one, other = (Answered(text, [ord(letter) for letter in text], truncated) for text in (mine, theirs))
    verdicts = [NumberVerifier()(a.text, gold, truncated=a.truncated) for a in (one, other)]
    return ComparedItem("x", gold, one, other, verdicts[0], verdicts[1], {"flexible": HarnessAnswer(answer, correct)})


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (item("#### 18", "#### 18", "18", True), None),
        (item("#### 17", "#### 16", "16", False), None),
        (item("#### 18", "#### 19", "19", False), "different completion"),
        (item("#### $18.00", "#### $18.00", "$18.00", False), "formatted number"),
        (item("She earns $18.", "She earns $18.", INVALID, False), "finds nothing"),
        (item("#### 18\nof 20 eggs", "#### 18\nof 20 eggs", "20", False), "another number"),
        (item("First 18 and", "First 18 and", "18", True, truncated=True), "truncation"),
        (item("The answer is 20 or 18.", "The answer is 20 or 18.", "18", True), "hedges between numbers"),
    ],
)
def test_every_disagreement_has_its_reason(row: ComparedItem, reason: str | None) -> None:
    """The same text read in two ways is a matter of extraction, another text is not."""
    found = why_verdicts_differ(row, row.readings["flexible"])

    assert found is None if reason is None else reason in (found or "")


def test_completions_part_at_the_first_token_that_differs() -> None:
    """Same text: nowhere; "abc" and "abd": at 2; "ab" and "abc": where the shorter ends."""
    same, other, longer = (item("abc", text, "", False) for text in ("abc", "abd", "abcd"))

    assert [first_difference(row.mine, row.theirs) for row in (same, other, longer)] == [None, 2, 3]
    lines = report_completions([same, other], {"x": 0.0312})
    assert lines == ["completions equal: 1 of 2", "  x: different completion from token 2; fp32 gap 0.031 nats"]


def test_verdicts_are_counted_in_four_cells() -> None:
    """One accepted by both, one by ours alone, one by theirs alone, one by none: two of four agree."""
    rows = [
        item("#### 18", "#### 18", "18", True),
        item("#### 18.0", "#### 18.0", "18.0", False),
        item("First 18 and", "First 18 and", "18", True, truncated=True),
        item("#### 1", "#### 1", "1", False),
    ]
    lines = report_verdicts(rows, "flexible")

    assert lines[0] == (
        "verdicts equal, ours and flexible: 2 of 4 (both correct 1, only ours 1, only theirs 1, neither 1)"
    )
    assert len(lines) == 3


def test_the_ratio_is_against_every_setting_and_names_the_fastest(bench: Any) -> None:
    """10 s against 80 s and 35 s: 8.0 and 3.5 times as long; of the processor's time 20.0 and 7.5 times."""
    peers = {size: {"seconds": {"wall": wall, "cpu": cpu}} for size, wall, cpu in ((1, 80.0, 80.0), (16, 35.0, 30.0))}

    assert bench.fastest(peers) == 16
    assert bench.ratios({"seconds": {"wall": 10.0, "cpu": 4.0}}, peers) == [
        "lm-eval with batch 1 takes 8.0 times as long, and 20.0 times the processor's time",
        "lm-eval with batch 16 takes 3.5 times as long, and 7.5 times the processor's time (its fastest)",
    ]


def test_without_the_harness_it_says_what_to_install(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence with the extra, before anything is loaded."""
    monkeypatch.setattr(bench.importlib.util, "find_spec", lambda _: None)

    with pytest.raises(InputError, match=r"pip install .*bench"):
        bench.main(bench.Args())


@needs_data
def test_the_rows_hold_the_suites_own_prompts(bench: Any, tiny_folder: Path, tmp_path: Path) -> None:
    """The token ids written for the peer are those of its prompt under the chat template; the limit is the same."""
    args = bench.Args(model=str(tiny_folder), items=2, max_tokens=5)
    bench.write_task(args, tmp_path)
    rows = bench.read_rows(tmp_path)
    _, prompted = bench.load(args)
    turn = [{"role": "user", "content": rows[0]["prompt"]}]

    assert len(rows) == 2
    assert rows[0]["ids"] == prompted.tokenizer.apply_chat_template(turn, add_generation_prompt=True, return_dict=False)
    options = json.loads((tmp_path / f"{bench.TASK}.yaml").read_text())["generation_kwargs"]
    assert options == {"until": ["<|im_end|>"], "do_sample": False, "temperature": 0.0, "max_gen_toks": 5}


@needs_data
@pytest.mark.parametrize("template", ["hash", "few-shot-text"])
def test_both_write_the_same_in_fp32(
    bench: Any, tiny_folder: Path, capsys: pytest.CaptureFixture[str], template: str
) -> None:
    """A tiny random model, three items: no completion parts."""
    pytest.importorskip("lm_eval")
    sizes = {"items": 3, "max_tokens": 8, "peer_batches": (2,), "threads": 1}
    bench.main(bench.Args(model=str(tiny_folder), template=template, dtype="float32", **sizes))

    assert "completions equal: 3 of 3" in capsys.readouterr().out


@pytest.mark.parametrize(("field", "value"), [("peer_batches", ()), ("peer_batches", (0,)), ("max_tokens", 0)])
def test_sizes_that_ask_nothing_are_refused(bench: Any, field: str, value: Any) -> None:
    """No batch size, one of zero, or completions of no token."""
    with pytest.raises(InputError, match=field.replace("_", "-")):
        bench.Args(**{field: value})


def test_a_template_that_cannot_be_put_to_both_is_refused(bench: Any, tiny_folder: Path) -> None:
    """Few-shot turns are more than one message."""
    with pytest.raises(InputError, match="few-shot-chat"):
        bench.load(bench.Args(model=str(tiny_folder), template="few-shot-chat"))
