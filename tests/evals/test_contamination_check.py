"""Files in, report out: every format, drop and flag, what is refused, and the screen before training."""

from __future__ import annotations

import csv
import gzip
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rlpath.cli import main as cli
from rlpath.core.errors import InputError
from rlpath.core.types import Demonstration, ExampleSet, Preference, Problem, ProblemSet, Turn
from rlpath.envs.files import data_file
from rlpath.envs.load import problem_set
from rlpath.evals.contamination import disguises
from rlpath.evals.contamination import documents as reading
from rlpath.evals.contamination.benchmarks import Benchmark, Item, benchmark, benchmarks_present
from rlpath.evals.contamination.canary import canaries, canary_p, exposure, make_canary, references
from rlpath.evals.contamination.check import check_files
from rlpath.evals.contamination.documents import documents, training_files
from rlpath.evals.contamination.screen import screen, sentence
from rlpath.evals.measure.held_out import held_out
from rlpath.rewards.verifiers.number import NumberVerifier

QUESTION = "A baker has forty loaves and sells three loaves to each of nine neighbors; how many loaves are left?"
OTHER = "The ship left harbour at dawn with a crew of twelve, none of whom had ever seen the southern ocean before."


@pytest.fixture
def tests(tmp_path: Path) -> Path:
    """A test set of one's own with one item."""
    path = tmp_path / "exam.jsonl"
    path.write_text(json.dumps({"id": "loaves", "question": QUESTION, "answer": "13"}) + "\n")
    return path


def run(*words: str | Path) -> int:
    return cli.run(["contamination", *map(str, words)])


def test_every_format_is_read(tmp_path: Path, tests: Path) -> None:
    """jsonl, json, txt and md, zipped or not, nested fields too: the copy is found in each under its name."""
    nested = {"id": 7, "messages": [{"role": "user", "content": f"Q: {QUESTION}"}]}
    rows = f"{json.dumps({'text': OTHER})}\n\n{json.dumps(nested)}\n"
    files = {"a.jsonl": rows, "b.json": json.dumps([{"text": OTHER}, nested]), "c.txt": f"{OTHER}\n{QUESTION}"}
    for name, text in files.items():
        (tmp_path / "train").mkdir(exist_ok=True)
        (tmp_path / "train" / name).write_text(text)
        with gzip.open(tmp_path / "train" / f"{name}.gz", "wt") as file:
            file.write(text)
    found = check_files([tmp_path / "train"], [benchmark(str(tests))]).overlap

    names = {str(Path(name).relative_to(tmp_path / "train")) for name in found.flagged}
    assert names == {"a.jsonl:3", "a.jsonl.gz:3", "b.json:2", "b.json.gz:2", "c.txt", "c.txt.gz"}
    assert (found.documents, found.copied, found.found[0].items) == (10, 1, 1)


def test_a_long_text_is_read_in_chunks(tmp_path: Path, tests: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy across the border of two chunks is found, and the text counts as one document."""
    monkeypatch.setattr(reading, "CHUNK", 2000)
    monkeypatch.setattr(reading, "OVERLAP", 300)
    for offset in range(1850, 2050, 10):
        text = (OTHER * 30)[:offset] + f" {QUESTION} " + OTHER * 5
        (tmp_path / "long.txt").write_text(text)
        (tmp_path / "long.jsonl").write_text(json.dumps({"text": text}) + "\n")
        for name in ("long.txt", "long.jsonl"):
            found = check_files([tmp_path / name], [benchmark(str(tests))]).overlap
            assert (found.documents, [hit.coverage for hit in found.hits]) == (1, [1.0]), offset


def test_one_field_alone(tmp_path: Path, tests: Path) -> None:
    """With a field, text elsewhere in the row is not searched."""
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": OTHER, "source": QUESTION}) + "\n")
    (name,) = training_files([tmp_path / "a.jsonl"])

    assert [d.text for d in documents([name], "text")] == [OTHER]
    assert check_files([name], [benchmark(str(tests))], field="text").overlap.hits == ()


def test_flag_drop_and_keep(tmp_path: Path, tests: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Drop writes the other rows byte for byte, flag the list of hits, keep the report alone."""
    lines = [json.dumps({"text": OTHER, "n": 1.50}), json.dumps({"text": QUESTION}), '{"text":  "odd   spacing"}']
    train = tmp_path / "train.jsonl"
    train.write_text("\n".join(lines) + "\n")
    for on_hit in ("drop", "flag", "keep"):
        assert run("check", train, "--against", tests, "--on-hit", on_hit, "--out", tmp_path / on_hit) == 1

    assert (tmp_path / "drop" / "clean" / "train.jsonl").read_text() == f"{lines[0]}\n{lines[2]}\n"
    (hit,) = [json.loads(line) for line in (tmp_path / "flag" / "hits.jsonl").read_text().splitlines()]
    assert (hit["item"], hit["document"], hit["coverage"]) == ("loaves", f"{train}:2", 1.0)
    assert sorted(path.name for path in (tmp_path / "keep").iterdir()) == ["contamination.json"]
    report = json.loads((tmp_path / "keep" / "contamination.json").read_text())
    assert (report["overlap"]["copied"], report["flagged_documents"]) == (1, 1)
    assert "exam.jsonl" in capsys.readouterr().out


def test_canaries(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One name gives one canary; it is found in files, in any case; exposure and p follow the rank."""
    assert run("canary", "--name", "exam") == 0
    line = capsys.readouterr().out.strip()
    assert line == make_canary("exam") != make_canary("exam", seed=1)
    (tmp_path / "a.txt").write_text(f"{OTHER} {line.upper()}")
    (tmp_path / "b.txt").write_text(OTHER)
    assert run("canary", tmp_path) == 1
    assert canaries(line)[0] in capsys.readouterr().out
    assert run("canary", tmp_path / "b.txt") == 0

    assert len(set(references("exam", 50))) == 50
    assert (exposure(-1.0, [-5.0] * 15), canary_p(-1.0, [-5.0] * 15)) == (4.0, 1 / 16)
    assert exposure(-9.0, [-5.0] * 15) == 0.0


def spoil_json(path: Path) -> Path:
    (path / "bad.jsonl").write_text('{"text": "a"}\n{"text": \n')
    return path / "bad.jsonl"


def spoil_gzip(path: Path) -> Path:
    (path / "cut.jsonl.gz").write_bytes(gzip.compress(b'{"text": "a"}\n' * 99)[:-9])
    return path / "cut.jsonl.gz"


def spoil_encoding(path: Path) -> Path:
    (path / "latin.jsonl").write_bytes('{"text": "café"}'.encode("latin-1"))
    return path / "latin.jsonl"


def spoil_depth(path: Path) -> Path:
    (path / "deep.jsonl").write_text('{"a":' * 50_000 + "1" + "}" * 50_000)
    return path / "deep.jsonl"


def spoil_rows(path: Path) -> Path:
    (path / "numbers.jsonl").write_text('{"n": 1}\n{"text": ""}\n')
    return path / "numbers.jsonl"


def spoil_kind(path: Path) -> Path:
    (path / "a.xlsx").write_text("x")
    return path / "a.xlsx"


@pytest.mark.parametrize(
    ("spoil", "words", "message"),
    [
        (spoil_json, (), r"bad\.jsonl, line 2 is not JSON: mend"),
        (spoil_gzip, (), r"cut\.jsonl\.gz is not a whole gzip file"),
        (spoil_kind, (), r"a\.xlsx is none of \.jsonl"),
        (lambda path: path / "absent.jsonl", (), r"absent\.jsonl does not exist"),
        (lambda path: path, (), r"no training file in"),
        (spoil_encoding, (), r"latin\.jsonl, line 1 is not UTF-8 text: convert the file"),
        (spoil_depth, (), r"deep\.jsonl, line 1 is nested too deeply"),
        (spoil_rows, (), r"numbers\.jsonl: no text in 2 rows, nothing to compare"),
        (None, ("--field", "body"), r"train\.jsonl, row 1 has no field 'body'"),
        (None, ("--n", "5"), r"--n 5 must be at least 8"),
        (None, ("--against", "gsm9k"), r"'gsm9k' is neither a file nor a known test set"),
        (None, ("--against", ","), r"--against names no test set"),
        (None, ("--against", "arc,arc"), r"names a test set twice"),
    ],
)
def test_bad_input_is_one_sentence(
    tmp_path: Path, tests: Path, spoil: Callable[[Path], Path] | None, words: tuple[str, ...], message: str
) -> None:
    """Broken files, unknown names and impossible rules."""
    (tmp_path / "in").mkdir()
    (tmp_path / "train.jsonl").write_text(json.dumps({"text": OTHER}) + "\n")
    train = spoil(tmp_path / "in") if spoil else tmp_path / "train.jsonl"
    against = words if "--against" in words else (*words, "--against", str(tests))
    with pytest.raises(InputError, match=message):
        run("check", train, *against, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_dropping_needs_rows(tmp_path: Path, tests: Path) -> None:
    """A text file has no rows to leave out."""
    (tmp_path / "a.txt").write_text(OTHER)
    with pytest.raises(InputError, match=r"a\.txt is none: use flag"):
        run("check", tmp_path / "a.txt", "--against", tests, "--on-hit", "drop")


def test_a_test_set_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Known names need RLPATH_DATA; a file of one's own needs a question in every row."""
    monkeypatch.setenv("RLPATH_DATA", str(tmp_path))
    assert benchmarks_present() == []
    with pytest.raises(InputError, match=r"gsm8k was not found: set RLPATH_DATA to a folder that holds gsm8k"):
        benchmark("gsm8k")
    (tmp_path / "own.jsonl").write_text('{"question": "a"}\n{"answer": "b"}\n')
    with pytest.raises(InputError, match=r"own\.jsonl, row 2 has no question"):
        benchmark(str(tmp_path / "own.jsonl"))
    (tmp_path / "own.jsonl").write_text('{"id": "x", "question": "a"}\n' * 2)
    with pytest.raises(InputError, match=r"own\.jsonl holds the id 'x' more than once"):
        benchmark(str(tmp_path / "own.jsonl"))
    (tmp_path / "gsm8k").mkdir()
    (tmp_path / "gsm8k" / "test.jsonl").write_text('{"q": "a"}\n')
    with pytest.raises(InputError, match=r"test\.jsonl, row 1 is not a row of gsm8k"):
        benchmark("gsm8k")


def problems(*prompts: str, split: str = "train") -> ProblemSet:
    made = tuple(Problem(f"{split}-{i}", prompt, "1") for i, prompt in enumerate(prompts))
    return ProblemSet("made", "train" if split == "train" else "validation", made, NumberVerifier(), "here")


def test_the_screen_before_training() -> None:
    """A training problem that stands in the held-out set is flagged or dropped, and the record says so."""
    train, held = problems(OTHER, QUESTION), problems(QUESTION, split="validation")
    same, record = screen(train, held, against=[])
    fewer, dropped = screen(train, held, on_hit="drop", against=[])

    assert same is train and [problem.id for problem in fewer.problems] == ["train-0"]
    assert (record["copied"], record["flagged_documents"], record["left"], dropped["left"]) == (1, 1, 2, 1)
    assert [hit["document"] for hit in record["hits"]] == ["train-1"]
    assert "1 of 2 training problems match 1 test items; left out" in sentence(dropped)
    assert screen(train, held, on_hit="keep", against=[])[1]["hits"] == []
    with pytest.raises(InputError, match="every problem of made holds a copy"):
        screen(problems(QUESTION), held, on_hit="drop", against=[])
    json.dumps(record)


def test_the_screen_of_examples() -> None:
    """Any turn, and chosen and rejected answers, are searched; held-out examples are compared too; drop leaves them."""
    long, held = f"Before it: {QUESTION}", Demonstration("h", (Turn("user", OTHER),), QUESTION)
    shown = (Demonstration("d-0", (Turn("user", "Hi."), Turn("user", long)), "13"), Demonstration("d-1", (), OTHER))
    pairs = (Preference("p-0", (Turn("user", "Go on."),), "no", QUESTION), Preference("p-1", (), "yes", "no"))
    train = ExampleSet("shown", "train", shown, "here")
    kept_out = ExampleSet("shown", "validation", (held,), "here")

    _, record = screen(train, problems(QUESTION, split="validation"), kept_out, against=[])
    assert [(found["benchmark"], found["copied"]) for found in record["found"]] == [
        ("made (validation)", 1),
        ("shown (validation)", 1),
    ]
    assert "2 of 2 training examples match 2 test items" in sentence(record)
    again = problems(OTHER, split="validation")
    _, record = screen(train, problems(QUESTION, split="validation"), again, kept_out, against=[])
    assert record["checked"] == ["made (validation)", "shown (validation)"] and record["copied"] == 2
    fewer, record = screen(
        ExampleSet("pairs", "train", pairs, "here"), None, problems(QUESTION), on_hit="drop", against=[]
    )
    assert [pair.id for pair in fewer.examples] == ["p-1"] and record["left"] == 1


def test_sides_that_are_disjoint_by_construction_have_no_overlap() -> None:
    """Arithmetic shares its wording and never an operand pair: no hit on either level."""
    for level, size in (("add-1", None), ("all-2", 500)):
        train = problem_set(f"arithmetic:{level}", "train", size=size)
        _, record = screen(train, held_out(f"arithmetic:{level}", size=20), against=[])
        assert (record["documents"], record["copied"]) == (len(train), 0)


def test_known_sets_and_speed() -> None:
    """GSM8K's own splits: at most 1.1 % of the test items match the training split; the screen takes < 2 s."""
    if not benchmarks_present():
        pytest.skip("RLPATH_DATA has no test set")
    started = time.process_time()
    _, record = screen(problem_set("gsm8k", "train"), held_out("gsm8k"))
    assert time.process_time() - started < 2

    gsm8k = next(found for found in record["found"] if found["benchmark"] == "gsm8k")
    assert gsm8k["items"] == 1319
    assert gsm8k["any_8"]["question"] / 1319 < 0.07 and gsm8k["copied"] / 1319 < 0.011


def test_a_benchmark_keeps_question_and_solution() -> None:
    """A problem set as a test set: the question without the prompt's wording."""
    from rlpath.evals.contamination.benchmarks import as_benchmark

    made = Problem("p", f"{QUESTION} Answer with a number.", "13", {"question": QUESTION, "solution": "40 - 27"})
    one = ProblemSet("made", "test", (made,), NumberVerifier(), "here")
    assert as_benchmark(one) == Benchmark("made (test)", (Item("p", QUESTION, "40 - 27"),), "here")


@pytest.mark.needs("train")
def test_tables_are_read_row_by_row(tmp_path: Path, tests: Path) -> None:
    """CSV, TSV and Parquet, as training text and as a test set; the hit names the row."""
    import pyarrow
    import pyarrow.parquet as parquet

    rows = [{"id": "a", "question": OTHER, "answer": "1"}, {"id": "b", "question": QUESTION, "answer": '1,"3'}]
    for name, delimiter in (("t.csv", ","), ("t.tsv", "\t")):
        with (tmp_path / name).open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
            writer.writeheader()
            writer.writerows(rows)
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "t.parquet")
    for name in ("t.csv", "t.tsv", "t.parquet"):
        found = check_files([tmp_path / name], [benchmark(str(tests))], field="question").overlap
        assert found.flagged == {f"{tmp_path / name}:2"}
        assert [item.id for item in benchmark(str(tmp_path / name)).items] == ["a", "b"]
    (tmp_path / "bad.csv").write_text("question,answer\na,b,c\n")
    (tmp_path / "bad.parquet").write_text("no")
    for name, words in (("bad.csv", "row 1 has not as many cells"), ("bad.parquet", "is not a whole Parquet file")):
        with pytest.raises(InputError, match=words):
            check_files([tmp_path / name], [benchmark(str(tests))])


@pytest.mark.skipif(data_file("gsm8k/test.jsonl") is None, reason="needs RLPATH_DATA with GSM8K")
@pytest.mark.parametrize(
    ("disguise", "least"),
    [
        ("zero-width spaces in its words", 0.98),
        ("soft hyphens in its words", 0.98),
        ("Cyrillic look-alikes", 0.98),
        ("Greek look-alikes", 0.98),
        ("every eighth word dropped", 0.9),
        ("a word added after every eighth", 0.9),
        ("its first 12 words", 0.9),
        ("dealt out over three rows", 0.9),
        ("base64", 0.98),
        ("base64 over lines", 0.98),
        ("hexadecimal", 0.98),
    ],
)
def test_copies_in_disguise_are_seen(disguise: str, least: float) -> None:
    """Of 200 GSM8K test items planted once, nearly all are found, whatever no reader would mind."""
    test = benchmark("gsm8k")
    planted = Benchmark("gsm8k", test.items[:200], test.source)
    assert disguises.seen_share(planted, disguises.DISGUISES[disguise]) >= least


def test_a_check_that_finds_nothing_says_what_it_misses(
    tmp_path: Path, tests: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The recorded rates of what overlap misses stand beside the silence; the exit status tells hits from none."""
    train = tmp_path / "train.jsonl"
    train.write_text(json.dumps({"text": OTHER}) + "\n")
    assert run("check", train, "--against", tests, "--out", tmp_path / "none") == 0
    said = capsys.readouterr().out
    assert "final answer alone 0%" in said and "moved by 13 0%" in said and "translations 0%" in said
    train.write_text(json.dumps({"text": QUESTION}) + "\n")
    assert run("check", train, "--against", tests, "--out", tmp_path / "hit") == 1
    assert "translations 0%" not in capsys.readouterr().out


def test_the_readme_has_the_recorded_disguises() -> None:
    """The page beside the detectors says what was recorded."""
    record = disguises.recorded()
    assert record is not None
    page = disguises.FILE.with_name("README.md").read_text()
    assert "\n".join([disguises.TABLE[0], *disguises.markdown(record), disguises.TABLE[1]]) in page
