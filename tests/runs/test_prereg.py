"""A plan is validated, recorded with hash and time, and a result is judged by what was recorded."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from rlpath.cli import main as cli
from rlpath.core.errors import InputError
from rlpath.core.types import Decoding, Status
from rlpath.evals.compare.comparison import compare
from rlpath.evals.compare.prereg_check import Analysis, RecordedResult, check_prereg, read_result
from rlpath.evals.measure.evaluation import Evaluation, Protocol, Sample
from rlpath.runs.prereg import Preregistration, parse_prereg, prereg_text, read_prereg
from rlpath.runs.provenance import manifest
from rlpath.runs.run_folder import RunFolder

TEXT = prereg_text(
    'It "works": α > 0.',
    models=["mine"],
    baseline="base",
    tasks=["sums", "words"],
    metric="pass@1",
    n=20,
    seeds=[0, 1],
)
SEEN = Analysis("sums", "pass@1", "mine", 20, (0, 1), 0.5, 0.3, 0.2, 0.05, 0.35, 0.01)


def plan(text: str = TEXT) -> Preregistration:
    return parse_prereg(text, "here")


def result(*analyses: Analysis, text: str | None = TEXT) -> RecordedResult:
    recorded = None if text is None else {"text": text, "sha256": plan(text).sha256, "time": "2026-01-02T03:04:05"}
    return RecordedResult(analyses, recorded)


def test_what_is_written_is_read_back() -> None:
    """Quotes and letters beyond ASCII survive; each task has a rule."""
    made = plan()

    assert (made.hypothesis, made.n, made.seeds) == ('It "works": α > 0.', 20, (0, 1))
    assert [(rule.task, rule.metric) for rule in made.rules] == [("sums", "pass@1"), ("words", "pass@1")]
    assert [(c.figure, c.comparison, c.number) for c in made.rules[0].conditions] == [("low", ">", 0), ("p", "<", 0.05)]


def test_met_and_not_met() -> None:
    """Each rule by its task's figures; a task that was not analyzed is said to be."""
    worse = replace(SEEN, task="words", low=-0.1, p=0.4)
    checked = check_prereg(plan(), result(SEEN, worse))

    assert [ruling.outcome for ruling in checked.rulings] == ["met", "not met"]
    assert "low = -0.1, p = 0.4" in checked.rulings[1].reason
    assert (checked.departures, checked.exploratory) == ((), ())
    assert check_prereg(plan(), result(SEEN)).rulings[1].outcome == "not analyzed"


@pytest.mark.parametrize(("p", "outcome"), [(0.05, "not met"), (0.0499, "met")])
def test_limits_are_strict(p: float, outcome: str) -> None:
    """p < 0.05 is not met by 0.05."""
    assert check_prereg(plan(), result(replace(SEEN, p=p))).rulings[0].outcome == outcome


def test_a_change_after_the_fact_shows() -> None:
    """A loosened rule, an added one and a removed one: each is named, with what the recorded form gives."""
    not_seen = replace(SEEN, p=0.08)
    loosened = plan(TEXT.replace("p < 0.05", "p < 0.10", 1))
    checked = check_prereg(loosened, result(not_seen))
    assert checked.rulings[0].outcome == "changed after the fact"
    assert "when was 'low > 0 and p < 0.05'; as recorded: not met" in checked.rulings[0].reason
    assert "the file has changed since the run" in checked.departures[0]

    added = plan(TEXT.replace("improved on words", "something else"))
    outcomes = {ruling.rule.name: ruling for ruling in check_prereg(added, result(SEEN)).rulings}
    assert outcomes["something else"].outcome == "changed after the fact"
    assert outcomes["improved on words"].reason.startswith("removed; as recorded")


def test_a_changed_comment_changes_no_rule() -> None:
    """The departure is told, the rules stand."""
    checked = check_prereg(plan(TEXT + "# a remark\n"), result(SEEN))

    assert checked.rulings[0].outcome == "met" and len(checked.departures) == 1


def test_what_was_not_declared_is_exploratory() -> None:
    """Another metric or task; without a recorded plan, everything."""
    other = [replace(SEEN, metric="greedy"), replace(SEEN, task="proofs")]
    names = ("greedy of mine on sums", "pass@1 of mine on proofs")
    assert check_prereg(plan(), result(SEEN, *other)).exploratory == names
    late = check_prereg(plan(), result(SEEN, text=None))
    assert late.exploratory == ("pass@1 of mine on sums",)
    assert late.rulings[0].outcome == "not registered"
    assert late.lines()[0].startswith("no preregistration was recorded before the run")


def test_other_sizes_than_declared_are_departures() -> None:
    """Fewer problems, or other seeds."""
    checked = check_prereg(plan(), result(replace(SEEN, n=15, seeds=(0, 7))))

    assert [text.partition(": ")[2] for text in checked.departures] == [
        "20 problems were declared, 15 evaluated",
        "seeds [0, 1] were declared, [0, 7] run",
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("n = 20", "", "here needs n: a whole number"),
        ("n = 20", "n = 0", "at least 1 problem"),
        ("n = 20", "n = true", "needs n"),
        ("seeds = [0, 1]", "seeds = [1, 1]", "each once"),
        ("seeds = [0, 1]", "seeds = []", "needs seeds: a list that is not empty"),
        ("n = 20", "n = 20\nmodle = 1", "unknown field modle"),
        ('metric = "pass@1"\nn', "n", "needs metric: text"),
        ("low > 0 and p", "low > 0 or p", 'has when = "low > 0 or p < 0.05": join comparisons'),
        ("low > 0", "luck > 0", "of the figures value, baseline"),
        ('task = "words"', 'task = "word"', "is about word, which is not among tasks"),
        ('then = "say', 'then = "say"\nx = "', "a rule has an unknown field x"),
        ('then = "say that', 'then = "" # ', "needs then: text"),
        ("hypothesis = ", "hypothesis ", "here is not TOML"),
    ],
)
def test_an_incomplete_plan_is_refused(old: str, new: str, message: str) -> None:
    """The field and the remedy are named."""
    with pytest.raises(InputError, match=message):
        plan(TEXT.replace(old, new))


def evaluation(solved: int) -> Evaluation:
    """Twenty problems, the first `solved` of them right, greedily and in the one sample."""
    decodings = (Decoding(8, 0.0), Decoding(8))
    protocol = Protocol("sums", "validation", "here", "0" * 64, 20, "NumberVerifier", *decodings)
    rows = []
    for mode in ("greedy", "sample"):
        for i in range(20):
            status = Status.CORRECT if i < solved else Status.WRONG
            rows.append(Sample(f"p{i}", "q", "1", mode, 0, "1", status, float(i < solved), "1", "", 1, "stop"))
    return Evaluation(protocol, tuple(rows))


def make_run(tmp_path: Path, seed: int, solved: int, script: Path) -> tuple[RunFolder, Path]:
    """A finished run of the recipe `script` that went from 2 solved problems to `solved`."""
    with RunFolder.open(tmp_path / "runs", "mine", {"steps": 1}, seed) as run:
        facts = manifest([str(script)], {}) | {"data": [{"name": "train"}, {"name": "sums"}]}
        run.write_manifest(facts)
        compare(evaluation(2), evaluation(solved)).save(run.path / "evaluations" / "verdict.json")
    return run, run.path


def test_runs_are_judged_by_the_plan_of_their_first_start(tmp_path: Path) -> None:
    """The plan of the first start judges: two seeds on 20 problems, too few; a plan edited later is found out."""
    script = tmp_path / "recipe.py"
    script.write_text("")
    (tmp_path / "prereg.toml").write_text(
        TEXT.replace('tasks = ["sums", "words"]', 'tasks = ["sums", "words"] # first')
    )
    paths = [make_run(tmp_path, seed, solved, script)[1] for seed, solved in ((0, 12), (1, 13))]
    (tmp_path / "prereg.toml").write_text(TEXT)
    run = RunFolder.open(tmp_path / "runs", "mine", {"steps": 1}, 0)
    run.write_manifest(manifest([str(script)], {}) | {"data": [{"name": "train"}, {"name": "sums"}]})
    run.close()
    found = read_result(paths)
    checked = check_prereg(plan(), found)

    deciding = next(analysis for analysis in found.analyses if analysis.metric == "pass@1")
    assert (deciding.model, deciding.n, deciding.seeds) == ("mine", 20, (0, 1))
    assert (deciding.baseline, deciding.value) == (0.1, 0.625)
    assert found.recorded is not None and "# first" in found.recorded["text"]
    assert found.recorded["sha256"] == plan(found.recorded["text"]).sha256
    # Twenty problems are too few for a verdict, however large the effect.
    assert [ruling.outcome for ruling in checked.rulings] == ["not met", "not analyzed"]
    assert checked.exploratory == ("greedy of mine on sums",) and len(checked.departures) == 1
    assert read_result(paths[:1]).analyses[1].value == 0.6


def test_a_plan_edited_inside_the_manifest_is_found_out() -> None:
    """Its text no longer has the recorded hash."""
    recorded = {"text": TEXT.replace("p < 0.05", "p < 0.5"), "sha256": plan().sha256, "time": "2026-01-02"}
    with pytest.raises(InputError, match="does not have the hash beside it"):
        check_prereg(plan(), RecordedResult((SEEN,), recorded))


def test_a_run_without_a_plan(tmp_path: Path) -> None:
    """Nothing was recorded: a plan written later registers nothing."""
    script = tmp_path / "recipe.py"
    script.write_text("")
    _, path = make_run(tmp_path, 0, 12, script)
    assert check_prereg(plan(), read_result([path])).rulings[0].outcome == "not registered"


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A new plan is a valid file that nothing overwrites; a JSON result is judged."""
    file = tmp_path / "plan.toml"
    words = ["prereg", "new", "--hypothesis", "H", "--models", "mine", "--baseline", "b", "--tasks", "gsm8k"]
    words += ["--n", "20"]
    assert cli.run([*words, "--seeds", "0", "1", "--out", str(file)]) == 0
    assert read_prereg(file).tasks == ("gsm8k",)
    with pytest.raises(InputError, match="a plan is not overwritten"):
        cli.run([*words, "--out", str(file)])
    file.write_text(file.read_text().replace("gsm8k", "sums"))
    recorded = {"text": file.read_text(), "sha256": read_prereg(file).sha256, "time": "2026-01-02"}
    (tmp_path / "result.json").write_text(json.dumps({"manifest": {"prereg": recorded}, "analyses": [asdict(SEEN)]}))
    capsys.readouterr()
    assert cli.run(["prereg", "check", str(file), str(tmp_path / "result.json")]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("preregistered 2026-01-02, sha256 ") and said[1].startswith("met: improved on sums")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "r.json is not JSON"),
        ("{}", "is no result: it needs manifest and analyses"),
        ('{"manifest": {}, "analyses": [{}]}', "is no result"),
    ],
)
def test_a_result_that_is_none(tmp_path: Path, content: str, message: str) -> None:
    """A file without analyses, a missing file, a folder that is no run."""
    (tmp_path / "r.json").write_text(content)
    with pytest.raises(InputError, match=message):
        read_result([tmp_path / "r.json"])
    with pytest.raises(InputError, match="neither a run folder nor"):
        read_result([tmp_path / "absent.json"])
    with pytest.raises(InputError, match="is not a run folder"):
        read_result([tmp_path])


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [("--tasks", "gsm9k", "there is no task 'gsm9k'"), ("--metric", "accuracy", "--metric 'accuracy' is none of")],
)
def test_a_plan_of_what_does_not_exist_is_refused(flag: str, value: str, message: str, tmp_path: Path) -> None:
    """A task or metric that no command knows could never be checked."""
    plan = {"--hypothesis": "H", "--models": "m", "--baseline": "b", "--tasks": "gsm8k", "--n": "9", flag: value}
    words = [word for pair in plan.items() for word in pair]
    with pytest.raises(InputError, match=message):
        cli.run(["prereg", "new", *words, "--out", str(tmp_path / "prereg.toml")])
    assert not (tmp_path / "prereg.toml").exists()
