"""The report of a suite: verdicts first, every number of the result on the page, one file that fetches nothing."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from rlpath.cli.main import run
from rlpath.core.errors import InputError
from rlpath.evals.report.browser import SHOWN
from rlpath.evals.report.export import write_exports
from rlpath.evals.report.suite_figures import forest
from rlpath.evals.report.suite_page import write_report
from rlpath.evals.report.suite_tables import seed_gains
from rlpath.evals.suite.result import read_result
from tests.evals.suite_results import (
    BASELINE,
    ENTRANTS,
    PROBE,
    RIGHT,
    SENSITIVITY,
    WRONG,
    contrast,
    evaluation,
    headline,
    interval,
    suite_result,
    write_evaluation,
)


class Text(HTMLParser):
    """What a reader sees, the attributes that fetch, and whether every element is closed in its order."""

    EMPTY = ("meta", "input", "br", "link", "img")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.fetched: list[str] = []
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [str(value) for name, value in attrs if name in ("src", "href", "xlink:href", "data", "action")]
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def drawn(folder: Path, **changes: object) -> str:
    return write_report(suite_result(folder, **changes), folder).read_text()


def test_the_page_answers_in_its_first_lines(tmp_path: Path) -> None:
    """What improved, every claim, and what stands against it come before any table."""
    text = Text(drawn(tmp_path, warnings=("start has another size",))).text

    order = [
        "trained against start",
        "Improved on 1 of 2 tests, contamination unchecked. 1 warning",
        "sums: improved, contamination unchecked pass@1 54.0 % against 42.0 %.",
        "words: no evidence of improvement The smallest effect <i>seen</i> is 8.7 points (pass@1 54.0 %",
        "What stands against it",
        "start has another size.",
        "Every figure",
        "Every test",
        "pass@k",
        "Every problem",
        "Protocol",
    ]
    at = 0
    for part in order:
        at = text.index(part, at)


def test_every_figure_of_the_headlines_is_there(tmp_path: Path) -> None:
    """Three readings with intervals, shares, pass@k, maj@k, guessing, lengths and trivial baselines."""
    text = Text(drawn(tmp_path)).text

    for figure in (
        "40.0 % [20.0, 60.0]", "4.0 % [1.0, 11.0]", "47.0 % [22.0, 73.0]", "12.3 %", "23.4 %", "34.5 %",
        "50.0 % [30.0, 70.0]", "61.0 % [41.0, 81.0]", "52.3 % [31.0, 72.0]", "17.0 %", "34.0 %", "7.2", "12,345",
        "most frequent answer 10.0 %",
    ):  # fmt: skip
        assert figure in text
    assert "below trivial" not in text


def test_a_model_at_a_trivial_baseline_is_said_to_be(tmp_path: Path) -> None:
    """A model that only reaches the best trivial baseline is named beside it."""
    found = suite_result(tmp_path)
    headlines = tuple(headline(each.model, each.task, 0.4, trivial=0.4) for each in found.headlines[:2])
    text = Text(drawn(tmp_path, headlines=(*headlines, *found.headlines[2:]))).text

    assert "start (baseline) below trivial" in text
    assert "Not above a trivial baseline, “most frequent answer” with 40.0 %: start (40.0 %)." in text


def test_every_test_has_its_figures(tmp_path: Path) -> None:
    """Both scores and their difference with intervals first, then p, problems won and lost, and each training seed."""
    text = Text(drawn(tmp_path)).text

    assert "test versus model difference, points p, Holm gained, lost p smallest visible" in text
    assert "sums, pass@1 42.0 % [33.0, 51.0] 54.0 % [44.0, 64.0] +12.0 [3.5, 21.0] 0.025 5, 1 0.012 8.7" in text
    assert "words, pass@1 42.0 % [33.0, 51.0] 54.0 % [44.0, 64.0] +12.0, no interval" in text
    assert "sums, greedy accuracy" in text and "0.77" in text
    assert "sums, pass@1 3 41.0 % 52.0 % +11.0 3, 1 sums, pass@1 4 43.0 % 56.0 % +13.0 2, 0" in text
    assert "Paired by problem (a permutation). Holm's adjustment is over the 2 declared tests." in text


def test_another_size_and_an_undeclared_test_are_marked(tmp_path: Path) -> None:
    """Neither can be read as an ordinary verdict."""
    tests = (
        contrast("sums", "no evidence of improvement", None, same_size=False),
        contrast("words", "got worse", None),
    )
    text = Text(drawn(tmp_path, contrasts=tests, family=("trained vs start on sums",))).text

    assert "not of one size" in text
    assert "words: got worse not declared: exploratory" in text and "sums: no evidence of improvement not" not in text
    assert "Got worse on 1 of 2 tests. No warnings." in text


def test_without_a_baseline_nothing_is_claimed(tmp_path: Path) -> None:
    """A model alone has figures and no verdict."""
    text = Text(drawn(tmp_path, contrasts=(), family=(), entrants=ENTRANTS[:1])).text

    assert "no baseline here, so nothing can be said to have improved" in text
    assert "40.0 % [20.0, 60.0]" in text and "Every test" not in text


def test_prompts_and_probes_have_their_sections(tmp_path: Path) -> None:
    """The ranking's word with both spreads, every variant, and what a change of the items did."""
    text = Text(drawn(tmp_path, sensitivity=(SENSITIVITY,), probes=(PROBE,))).text

    assert (
        "Fragile : a model is ahead under some variants only. Spread over 2 variants: 39.0 points for trained, 11.0"
        in text
    )
    assert "chat <x> 62.0 % 42.0 % -20.0" in text
    assert "sums, renamed trained 80.0 % [60.0, 90.0] 30.0 % [10.0, 50.0] -50.0 [-70.0, -30.0] 0.031 5" in text


def test_what_was_not_asked_is_said(tmp_path: Path) -> None:
    """No sensitivity, probes, contamination check or preregistration: each section says so."""
    text = Text(drawn(tmp_path)).text

    assert "every figure here is of one template a task" in text
    assert "nothing here tells a skill from items remembered" in text
    assert "Contamination unchecked: start, trained." in text
    assert "No preregistration was recorded" in text
    assert "Published by others" not in text


def test_contamination_is_shown_for_whom_it_was_checked(tmp_path: Path) -> None:
    """The sentence, the table and the measured rates of a checked model; the others by name as unchecked."""
    finding = {
        "sentence": "test items found: sums 1 of 5",
        "tasks": [{"task": "sums", "copied": 1, "flagged": [f"p{i}" for i in range(7)]}],
        "left_out": True,
        "measured": "finds 98 % at 0.2 % false positives",
    }
    text = Text(drawn(tmp_path, contamination={"trained": finding})).text

    assert "Contamination unchecked: start. " in text
    assert "test items found: sums 1 of 5" in text and "finds 98 % at 0.2 % false positives" in text
    assert "p0, p1, p2, p3, p4 and 2 more" in text and "left out: yes" in text


def test_rules_of_the_preregistration_are_told_apart(tmp_path: Path) -> None:
    """Each line bears its outcome, in the color of good or bad."""
    lines = (
        "preregistered then",
        "met: first (x)",
        "not met: second (y)",
        "changed after the fact: third",
        "exploratory: z",
    )
    html = drawn(tmp_path, prereg=lines)

    assert '<span class="chip correct">met</span>first (x)' in html
    assert '<span class="chip wrong">not met</span>second (y)' in html
    assert '<span class="chip wrong">changed after the fact</span>third' in html
    assert '<span class="chip ">exploratory</span>z' in html and "<li>preregistered then</li>" in html


def test_published_figures_are_labeled_as_others(tmp_path: Path) -> None:
    """They stand apart, with their harness and a source that is text and no link."""
    row = {"model": "start", "figure": "1.4 %", "harness": "another", "source": "https://example.org/card"}
    page = Text(drawn(tmp_path, references=(row,)))

    assert "Measured by others, under other harnesses" in page.text
    assert "start 1.4 % another https://example.org/card" in page.text
    assert not [value for value in page.fetched if "example.org" in value]


def test_protocol_names_decoding_template_and_data(tmp_path: Path) -> None:
    """Problems, split, samples, temperature, precision, batch, verifier, hash, and the words of the prompt."""
    text = Text(drawn(tmp_path)).text

    for field in (
        "template plain plain", "problems 5 5", "split validation validation", "samples 2 2", "temperature 1 1",
        "max tokens 8 8", "dtype bfloat16 bfloat16", "batch size 48 48", "backend hf hf",
        "verifier NumberVerifier NumberVerifier", "sha256 of the problems abababababab abababababab",
    ):  # fmt: skip
        assert field in text
    assert "as a user turn, after 2 solved examples: “Add: {question}”" in text
    assert "trained model 1,100 3, 4 start cdcdcdcdcdcd, efefefefefef" in text


def test_completions_stand_side_by_side_with_filters(tmp_path: Path) -> None:
    """Each problem holds both models; the filters count what changed, was cut, or had no answer."""
    html = drawn(tmp_path)
    text = Text(html).text

    assert "all 10 changed 6 wrong → right 4 right → wrong 2 truncated 2 no answer 2" in text
    assert "What is <b>0</b> + 4? correct → wrong" in text
    assert "Of several training seeds the first is shown" in text
    assert "start (1 of 2 samples right)" in text and "trained, seed 3 (1 of 2 samples right)" in text
    assert html.count('class="one all changed') == 6
    kinds = re.findall(r'class="one ([\w ]+) t0"', html)
    assert kinds == ["all changed down", "all changed up", "all changed up", "all cut", "all silent"]
    assert "#show-up:checked ~ .list > .one:not(.up)" in html and "#task-1:checked ~ .list > .one:not(.t1)" in html


def test_repeated_warnings_are_one_with_a_count(tmp_path: Path) -> None:
    """The page lists a repeated sentence once and says how often it was made; the standing counts it once."""
    text = Text(drawn(tmp_path, warnings=("start is large", "words are few", "start is large"))).text

    assert "start is large. (2 times)" in text and text.count("start is large") == 1
    assert "2 warnings" in text and "words are few. (" not in text


def test_every_training_seed_is_a_point_of_the_forest(tmp_path: Path) -> None:
    """Two seeds are two small points a test beside its mean, within the figure; a single seed is none."""
    both = forest(suite_result(tmp_path))
    one = contrast("sums", "improved", interval(0.12, 0.03, 0.2))
    alone = replace(one.aggregates[0], after_R=(0.5,), before_R=(0.4,))
    single = forest(suite_result(tmp_path, contrasts=(replace(one, aggregates=(alone,)),)))

    assert len(re.findall(r"<use ", both)) - len(re.findall(r"<use ", single)) >= 2 * 2 + 1
    assert seed_gains(one.aggregates[0]) == pytest.approx((0.11, 0.13)) and seed_gains(alone) == ()


def test_large_tasks_are_cut_to_what_changed_first(tmp_path: Path) -> None:
    """Of many problems all that changed are kept, the others evenly spaced, and the page says so."""
    count = SHOWN + 100
    statuses = [RIGHT if i % 30 == 0 else WRONG for i in range(count)]
    found = suite_result(tmp_path)
    for member, these in (("start", [WRONG] * count), ("trained, seed 3", statuses)):
        write_evaluation(tmp_path / found.answers[f"{member}/sums/plain"], evaluation(these))
    html = write_report(found, tmp_path).read_text()

    shown = re.findall(r'class="one ([\w ]+) t0".*?What is &lt;b&gt;(\d+)', html)
    assert len(shown) == SHOWN
    assert [int(number) for kinds, number in shown if "changed" in kinds] == list(range(0, count, 30))
    others = [int(number) for kinds, number in shown if "changed" not in kinds]
    assert others == sorted(others) and others[0] < 10 and others[-1] > count - 10
    assert f"{SHOWN} of {count} of sums are shown" in html
    few = write_report(found, tmp_path, shown=3).read_text()
    assert few.count(' t0"') == 3 and f"3 of {count} of sums" in few


def test_a_long_completion_keeps_its_end(tmp_path: Path) -> None:
    """Answers stand at the end, so the middle is what is left out."""
    found = suite_result(tmp_path)
    write_evaluation(tmp_path / found.answers["start/sums/plain"], evaluation(BASELINE, "a" * 5000 + "#### 4"))
    html = write_report(found, tmp_path).read_text()

    assert "#### 4" in html and "[… 2,006 characters left out …]" in html and "a" * 1501 not in html


def test_greedy_alone_has_no_pass_at_k(tmp_path: Path) -> None:
    """Without samples the tables, the browser and the protocol leave them out; exports too."""
    found = suite_result(tmp_path)
    for name in found.answers.values():
        write_evaluation(tmp_path / name, evaluation(BASELINE, sampled=False))
    bare = [replace(each, samples=0, pass_at={}, guess_at={}, majority_at={}) for each in found.headlines]
    found = replace(found, headlines=tuple(bare))
    text = Text(write_report(found, tmp_path).read_text()).text

    assert "length mean tokens tokens in all" in text and "maj@2" not in text
    assert "samples right" not in text and "samples greedy alone greedy alone temperature 0 0" in text
    results, card = write_exports(found, tmp_path)[:2]
    config = json.loads(results.read_text())["configs"]["sums"]
    assert config["repeats"] == 1 and not config["generation_kwargs"]["do_sample"]
    assert "| not sampled |" in card.read_text()


def test_nothing_is_fetched_run_or_left_open(tmp_path: Path) -> None:
    """One well-formed file: no script, no address but places on the page itself, model text escaped."""
    page = Text(html := drawn(tmp_path, sensitivity=(SENSITIVITY,), probes=(PROBE,), warnings=("w <u>",)))

    assert not page.open
    assert all(value.startswith("#") for value in page.fetched)
    assert "<script" not in html and "@import" not in html
    assert not re.findall(r"url\((?!#)", html)
    assert "<b>" not in html and "<i>" not in html and "<u>" not in html


def test_the_same_result_gives_the_same_bytes(tmp_path: Path) -> None:
    """Drawing twice, and drawing what was saved and read again, change nothing."""
    found = suite_result(tmp_path, sensitivity=(SENSITIVITY,), probes=(PROBE,))
    first = write_report(found, tmp_path).read_bytes()
    found.save(tmp_path)

    assert write_report(found, tmp_path).read_bytes() == first
    assert write_report(read_result(tmp_path), tmp_path).read_bytes() == first


def test_a_missing_evaluation_is_one_sentence(tmp_path: Path) -> None:
    """The file, whose it is and what to do; also where the result names none."""
    found = suite_result(tmp_path)
    (tmp_path / "start sums.jsonl").unlink()

    with pytest.raises(InputError, match=r"start sums\.jsonl \(start/sums/plain\) is missing: put it back"):
        write_report(found, tmp_path)
    with pytest.raises(InputError, match="names no evaluation file for 'start/sums/plain'"):
        write_report(replace(found, answers={}), tmp_path)


def test_the_command_draws_it_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`rlpath report OUT` reads result.json; more folders or --out are refused."""
    suite_result(tmp_path).save(tmp_path)

    assert run(["report", str(tmp_path)]) == 0
    assert "Improved on 1 of 2 tests" in (tmp_path / "report.html").read_text()
    assert capsys.readouterr().out.strip() == str(tmp_path / "report.html")
    with pytest.raises(InputError, match="name it alone and without --out"):
        run(["report", str(tmp_path), "--out", str(tmp_path / "other.html")])
