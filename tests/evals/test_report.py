"""The report: verdict first, self-contained, model text escaped, and made from whatever a run has left."""

from __future__ import annotations

import json
import random
from html.parser import HTMLParser
from pathlib import Path

import pytest
import tyro

from rlpath.core.errors import InputError
from rlpath.core.types import Decoding, Problem, ProblemSet, Status
from rlpath.evals.commands.runs import Log, Report
from rlpath.evals.compare.comparison import compare
from rlpath.evals.contamination.screen import screen
from rlpath.evals.measure.evaluation import Mode, Protocol, Sample, read_evaluation
from rlpath.evals.report.run_log import config_difference, draft_entry
from rlpath.evals.report.run_report import curve, spread, training_plots, write_report
from rlpath.evals.report.seeds_report import write_seeds_report
from rlpath.rewards import NumberVerifier
from rlpath.rewards.combine.flawed import ContainsVerifier
from rlpath.rewards.combine.named import verifiers_of

HOSTILE = '<script>alert("x")</script> </div> & <b>bold</b>'


def write_lines(path: Path, rows: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def metrics(steps: int, seed: int) -> list[dict]:
    """A climb from 0.2 to 0.95 with the fields a run logs; lengths of correct completions missing at first."""
    rng = random.Random(seed)
    rows = []
    for step in range(1, steps + 1):
        right = min(0.95, 0.2 + 0.08 * step + rng.uniform(-0.05, 0.05))
        rest = 1 - right
        rows.append(
            {"step": step, "wall_s": 6.0 * step, "reward": right, "status/correct": right, "status/wrong": 0.6 * rest,
             "status/no_answer": 0.25 * rest, "status/truncated": 0.15 * rest, "status/undecided": 0.0,
             "groups/no_signal": min(1.0, 0.05 * step), "length/mean": 9.0 + 6 * rest,
             "length/correct": None if step == 1 else 4.0, "length/wrong": 12.0,
             "logprob_gap/mean": 0.002 + 0.001 * rng.random(), "logprob_gap/max": 0.05 + 0.05 * rng.random()}
        )  # fmt: skip
    return rows


def evaluation_lines(skill: float, problems: int, n: int, seed: int, text: str) -> list[dict]:
    """An evaluation file in which each completion is right with chance `skill`."""
    rng = random.Random(seed)
    decodings = {"greedy": Decoding(24, 0.0), "sampled": Decoding(24, n=n)}
    protocol = Protocol("arithmetic:add-1", "validation", "procedural", "ab" * 32, problems, "NumberVerifier",
                        decodings["greedy"], decodings["sampled"])  # fmt: skip
    rows: list[dict] = [{"protocol": as_dict(protocol)}]
    counts: dict[Mode, int] = {"greedy": 1, "sample": n}
    for mode, each in counts.items():
        for i in range(problems):
            for index in range(each):
                right = rng.random() < skill
                status = Status.CORRECT if right else rng.choice([Status.WRONG, Status.NO_ANSWER])
                a, b = divmod(i, 10)
                words = str(a + b) if right else f"{text} {a + b + 1}"
                prompt = f"What is {a} + {b}? Answer with the number only."
                rows.append(as_dict(Sample(f"{a}+{b}", prompt, str(a + b), mode, index, words, status, float(right),
                                           words, "", len(words), "stop")))  # type: ignore[arg-type]  # fmt: skip
    return rows


def as_dict(value: object) -> dict:
    from dataclasses import asdict

    return asdict(value)  # type: ignore[call-overload]


def make_run(
    root: Path, seed: int = 0, *, after: float = 0.95, config: dict | None = None, hash: str = "0a1b2c3d4e5f",
    started: str = "2026-11-22T10:00:00+00:00", text: str = "I think it is", problems: int = 40,
) -> Path:  # fmt: skip
    """A finished run folder as training leaves it."""
    run = root / "grpo_arithmetic" / hash / f"seed-{seed}"
    run.mkdir(parents=True)
    (run / "config.json").write_text(json.dumps({"lr": 3e-4, "steps": 10, **(config or {}), "seed": seed}))
    manifest = {
        "started": started,
        "git": {"commit": "f" * 40, "dirty": False},
        "model": {"name": "smollm2-135m-instruct"},
        "data": [{"name": "arithmetic:add-1", "n": 80}],
        "packages": {"torch": "2.13.0"},
    }
    (run / "manifest.json").write_text(json.dumps(manifest))
    write_lines(run / "metrics.jsonl", metrics(10, seed))
    sample = {"step": 10, "problem_id": "3+4", "prompt": "What is 3 + 4?", "gold": "7", "completion": text}
    sample |= {"status": "wrong", "score": 0.0, "answer": None, "reason": "", "tokens": 5, "finish_reason": "stop"}
    write_lines(run / "samples.jsonl", [sample] * 12)
    for side, skill in (("before", 0.2), ("after", after)):
        write_lines(run / "evaluations" / f"{side}.jsonl", evaluation_lines(skill, problems, 8, seed + len(side), text))
    before, after_it = (read_evaluation(run / "evaluations" / f"{side}.jsonl") for side in ("before", "after"))
    compare(before, after_it).save(run / "evaluations" / "verdict.json")
    (run / "finished.json").write_text("{}")
    return run


class Page(HTMLParser):
    """Collects tags, attributes and ids, and checks that tags are balanced."""

    VOID = frozenset({"meta", "br", "path", "use", "rect", "circle"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "xlink:href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_report_of_a_finished_run(tmp_path: Path) -> None:
    """The verdict first, then its figures, six plots and ten problems of two sides; all in one file, ids unique."""
    run = make_run(tmp_path)
    first = write_report(run).read_bytes()
    text = first.decode()
    page = Page(text)
    assert "script" not in page.tags and "img" not in page.tags and "link" not in page.tags
    assert all(link.startswith("#") for link in page.links)
    assert len(page.ids) == len(set(page.ids))
    assert write_report(run).read_bytes() == first, "the same run gives the same bytes"
    assert page.open == []
    assert text.index("Improved") < text.index("<table") < text.index("<svg")
    assert page.tags.count("svg") == 6
    assert text.count('class="sample"') == 10
    assert text.count('<span class="soft">before</span>') == text.count('<span class="soft">after</span>') == 10
    assert "smollm2-135m-instruct" in text and "&#34;torch&#34;: &#34;2.13.0&#34;" in text
    assert "cut short" not in text


def test_model_text_is_escaped(tmp_path: Path) -> None:
    """A completion that is HTML is shown, not run; a run without effect says what it could have seen."""
    text = write_report(make_run(tmp_path, text=HOSTILE, after=0.2)).read_text(encoding="utf-8")
    assert "script" not in Page(text).tags and "b" not in Page(text).tags
    assert "&lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt;" in text
    assert Page(text).open == []
    assert "No evidence of improvement" in text
    assert "The smallest effect this run could have seen is" in text


@pytest.mark.parametrize("left", ["nothing", "config only", "before only", "half of after"])
def test_report_of_an_unfinished_run(tmp_path: Path, left: str) -> None:
    """Whatever is missing, the report is made, says that the run has not finished and why there is no verdict."""
    run = make_run(tmp_path)
    (run / "finished.json").unlink()
    (run / "evaluations" / "verdict.json").unlink()
    after = run / "evaluations" / "after.jsonl"
    if left == "half of after":
        after.write_text("".join(after.read_text().splitlines(keepends=True)[:30]))
    else:
        after.unlink()
    if left in ("nothing", "config only"):
        (run / "evaluations" / "before.jsonl").unlink()
    if left == "config only":
        for name in ("metrics.jsonl", "samples.jsonl", "manifest.json"):
            (run / name).unlink()
    text = write_report(run).read_text(encoding="utf-8")
    assert Page(text).open == []
    assert "This run has not finished: the last logged step is" in text
    assert "There is no verdict: the evaluation" in text
    shown = {"nothing": "step 10", "config only": "0 steps logged", "before only": "before", "half of after": "before"}
    assert shown[left] in text


def test_a_substitution_is_named_at_the_top(tmp_path: Path) -> None:
    """What a run did in place of what was asked stands before the verdict."""
    run = make_run(tmp_path)
    (run / "substitutions.json").write_text(json.dumps(["GSM8K was out of reach: trained on gsm_symbolic"]))
    text = write_report(run).read_text(encoding="utf-8")
    assert text.index("GSM8K was out of reach") < text.index("Improved")


def test_the_report_says_whether_one_verifier_did_both(tmp_path: Path) -> None:
    """From the manifest; a run that does not say leaves it out."""
    run = make_run(tmp_path)
    assert "the same code" not in write_report(run).read_text(encoding="utf-8")
    manifest = json.loads((run / "manifest.json").read_text())
    for training, words in ((NumberVerifier(), "verified by the same code, NumberVerifier"), (
        ContainsVerifier(), "rewarded by ContainsVerifier; the evaluation was verified by NumberVerifier, other code"
    )):  # fmt: skip
        found = verifiers_of(training, NumberVerifier())
        (run / "manifest.json").write_text(json.dumps({**manifest, "verifiers": found}))
        assert words in write_report(run).read_text(encoding="utf-8")


def test_the_report_says_whether_anybody_looked_for_copies(tmp_path: Path) -> None:
    """Without a record contamination is unchecked; with one, what was found of each set."""
    run = make_run(tmp_path)
    assert "Contamination unchecked: the training set was compared" in write_report(run).read_text()
    problems = (Problem("a", "How many loaves has the baker on the corner left by noon?", "1"),)
    train, held = (ProblemSet("loaves", split, problems, NumberVerifier(), "here") for split in ("train", "validation"))  # type: ignore[arg-type]
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["contamination"] = screen(train, held, against=[])[1]
    (run / "manifest.json").write_text(json.dumps(manifest))
    page = write_report(run).read_text()
    assert "Test items found in the training text: loaves (validation) 1 of 1" in page
    assert "ontamination unchecked" not in page


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    """A folder without config.json, and a damaged evaluation, give one sentence."""
    with pytest.raises(InputError, match="not a run folder"):
        write_report(tmp_path)
    run = make_run(tmp_path)
    (run / "evaluations" / "before.jsonl").write_text("{}\n")
    with pytest.raises(InputError, match=r"before\.jsonl"):
        write_report(run)


def test_report_over_seeds(tmp_path: Path) -> None:
    """Three seeds give a mean with a t-interval, every seed in a row, and a file beside the runs."""
    runs = [make_run(tmp_path, seed) for seed in (0, 1, 2)]
    path = write_seeds_report(runs)
    assert path == tmp_path / "grpo_arithmetic" / "0a1b2c3d4e5f" / "report.html"
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == [] and len(page.ids) == len(set(page.ids))
    assert "over 3 seeds" in text and "Seeds 0, 1, 2" in text
    assert page.tags.count("svg") == 4
    assert all(f"<td>{seed}</td>" in text for seed in (0, 1, 2))


def test_seeds_of_different_configurations_do_not_mix(tmp_path: Path) -> None:
    """The differing field is named; so is a run without verdict or one named twice."""
    one = make_run(tmp_path)
    other = make_run(tmp_path, 1, config={"lr": 1e-4}, hash="bbbbbbbbbbbb")
    with pytest.raises(InputError, match="differ in lr"):
        write_seeds_report([one, other])
    with pytest.raises(InputError, match="named twice"):
        write_seeds_report([one, one])
    (one / "evaluations" / "verdict.json").unlink()
    with pytest.raises(InputError, match="no verdict yet"):
        write_seeds_report([one])


def test_log_entry_says_what_changed_and_what_happened(tmp_path: Path) -> None:
    """The entry names the date, the changed field, the verdict, and leaves two blanks."""
    make_run(tmp_path, started="2026-11-21T09:00:00+00:00", config={"lr": 1e-4}, hash="bbbbbbbbbbbb")
    run = make_run(tmp_path)
    entry = draft_entry(run)
    assert entry.startswith("## 2026-11-22 grpo_arithmetic, seed 0 (0a1b2c3d4e5f)")
    assert "Changed since bbbbbbbbbbbb: lr: 0.0001 → 0.0003." in entry
    assert "**Happened.** improved: pass@1" in entry
    assert "**Learned.** …" in entry and "**Next.** …" in entry
    assert "first configuration" in draft_entry(tmp_path / "grpo_arithmetic" / "bbbbbbbbbbbb" / "seed-0")


def test_config_difference_by_hand() -> None:
    """Changed, added and removed fields are listed; the seed is not."""
    old, new = {"a": 1, "b": 2, "seed": 0}, {"a": 1, "b": 3, "c": 4, "seed": 1}
    assert config_difference(old, new) == ["b: 2 → 3", "c: (absent) → 4"]


def test_commands_read_their_arguments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`report RUN`, `report RUN RUN` and `log RUN --append-to FILE` do what their functions do and return 0."""
    runs = [str(make_run(tmp_path, seed)) for seed in (0, 1)]
    assert tyro.cli(Report, args=runs[:1]).run() == 0
    assert tyro.cli(Report, args=[*runs, "--out", str(tmp_path / "both.html")]).run() == 0
    assert capsys.readouterr().out.split() == [f"{runs[0]}/report.html", str(tmp_path / "both.html")]
    assert tyro.cli(Log, args=[runs[0], "--append-to", str(tmp_path / "LOG.md")]).run() == 0
    assert (tmp_path / "LOG.md").read_text().startswith("\n## 2026-11-22")
    with pytest.raises(InputError, match="no run folder"):
        Report(()).run()


def test_ppo_shows_its_divergence_and_its_critic() -> None:
    """Where they were logged, and only there."""
    rows = [{"step": step, "reward": 0.5, "kl/completion": 0.1 * step, "explained_variance": -0.2} for step in (1, 2)]

    figures = training_plots(rows, {})

    assert any("nats a completion" in figure for figure in figures)
    assert any("explained by the critic" in figure for figure in figures)
    assert not any("critic" in figure for figure in training_plots(metrics(3, 0), {}))


def test_curve_leaves_missing_values_out() -> None:
    """Steps whose value is null or absent are not drawn."""
    assert curve([{"step": 1, "a": 2}, {"step": 2, "a": None}, {"step": 3}], "a") == ([1.0], [2.0])


def test_spread_is_even() -> None:
    """Ten of thirty are every third; of four, all."""
    assert spread([str(i) for i in range(30)], 10) == [str(i) for i in range(0, 30, 3)]
    assert spread(list("abcd"), 10) == list("abcd")
