"""The page of rollouts holds every row as data, groups them, and runs nothing that a completion wrote."""

from __future__ import annotations

import json
import re
from typing import Any

from rlpath.report.rollouts import in_groups, rollouts_page

ROW = {"problem_id": "p", "prompt": "1+1?", "gold": "2", "score": 1.0, "status": "correct", "reason": "", "tokens": 3}


def row(step: int, text: str, **more: Any) -> dict[str, Any]:
    return {**ROW, "step": step, "completion": text, **more}


def test_rows_of_one_prompt_stand_side_by_side() -> None:
    """One group for each problem in each step, rewards with their parts, turns and tokens where they were kept."""
    turns = [("assistant", "call"), ("tool", "2")]
    rows = [row(1, "a"), row(1, "b", reward=0.5, parts={"x": 0.5}), row(2, "c", turns=turns, pieces=[["c", -0.1]])]
    groups = in_groups([*rows, {"step": 3}])

    assert [(group["step"], [one["text"] for one in group["rows"]]) for group in groups] == [
        (1, ["a", "b"]),
        (2, ["c"]),
    ]
    assert [one["reward"] for one in groups[0]["rows"]] == [1.0, 0.5]
    assert groups[0]["rows"][1]["parts"] == {"x": 0.5}
    assert groups[1]["rows"][0]["turns"] == turns
    assert groups[1]["rows"][0]["pieces"] == [["c", -0.1]]


def test_the_page_is_whole_and_runs_no_text_of_a_model() -> None:
    """Nothing is fetched, and a completion that closes the script stays data."""
    hostile = "</script><script>alert(1)</script><!-- <img src=x onerror=alert(1)>"
    page = rollouts_page("run <1>", [row(1, hostile, prompt=hostile)])

    assert page.count("<script") == page.count("</script>") == 2
    assert "alert(1)>" not in re.sub(r'<script type="application/json".*?</script>', "", page, flags=re.S)
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    assert json.loads(data)[0]["rows"][0]["text"] == hostile
    assert not re.findall(r'(?:src|href)="?(?:https?:|//)', page)
    assert "run &lt;1&gt;" in page
