"""Auditing a verifier on labeled cases: counts, exit status, and verifiers of the user's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rlpath.core.errors import InputError
from rlpath.rewards.audit.commands import Audit
from rlpath.rewards.audit.measure import CLASSES, KINDS, read_cases, verifier_for


def case(**fields: object) -> str:
    return json.dumps({"id": "a", "kind": "number", "gold": "18", "completion": "18", "expected": True} | fields)


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module `mine_NAME.py` in the current folder; tests write it and name it differently, since modules are kept."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def statuses(path: Path) -> list[str]:
    return [json.loads(line)["status"] for line in path.read_text().splitlines()]


def test_every_kind_has_its_verifier() -> None:
    """The kinds of a case file are all there is."""
    assert set(CLASSES) == set(KINDS)
    for kind in KINDS:
        assert callable(verifier_for(kind))


def test_audit_counts_and_lists_disagreements(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """False accepts and rejects are counted per kind, listed, and every verdict is written in order."""
    cases = tmp_path / "cases.jsonl"
    cases.write_text("\n".join([case(), case(id="b", expected=False), case(id="c", kind="math", completion="17")]))
    assert Audit(cases, verdicts=tmp_path / "out.jsonl").run() == 1
    shown = capsys.readouterr().out
    assert "false accept  b" in shown
    assert "false reject  c" in shown
    assert "2 disagreements, 0 errors" in shown
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [(r["id"], r["status"], r["score"]) for r in rows] == [
        ("a", "correct", 1.0),
        ("b", "correct", 1.0),
        ("c", "wrong", 0.0),
    ]
    assert set(rows[0]) == {"id", "status", "score", "seconds", "reason"}


def test_exit_status_follows_what_is_allowed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One false accept and one false reject fail an audit unless both are allowed."""
    cases = tmp_path / "cases.jsonl"
    cases.write_text("\n".join([case(), case(id="b", expected=False), case(id="c", completion="17")]))
    assert Audit(cases).run() == 1
    assert "too many: 1 false accepts (allowed: 0), 1 false rejects (allowed: 0)" in capsys.readouterr().out
    assert Audit(cases, allow_false_accepts=1).run() == 1
    assert Audit(cases, allow_false_rejects=1).run() == 1
    assert Audit(cases, allow_false_accepts=1, allow_false_rejects=1).run() == 0
    cases.write_text(case())
    assert Audit(cases).run() == 0


def test_a_verifier_in_the_current_folder_is_given_the_question(mine: Path) -> None:
    """Scores, None, verdicts and exceptions of a user's function become verdicts; errors fail the audit."""
    (mine / "mine_scores.py").write_text(
        "def f(completion, gold, question=None):\n"
        "    if question == 'copied':\n        return 0\n"
        "    return None if not completion else 1 / int(completion != '0')\n"
        "def plain(completion, gold):\n    return float(completion == gold)\n"
        "from rlpath.rewards import NumberVerifier\nverify = NumberVerifier()\n"
        "def words(completion, gold):\n    return 'yes'\n"
    )
    cases, out = mine / "cases.jsonl", mine / "out.jsonl"
    cases.write_text(
        "\n".join([case(), case(completion=""), case(completion="0", expected=False), case(question="copied")])
    )
    assert Audit(cases, verdicts=out, verifier="mine_scores:f", allow_false_rejects=9).run() == 1
    assert statuses(out) == ["correct", "undecided", "error", "wrong"]
    assert "ZeroDivisionError" in out.read_text()
    assert Audit(cases, verifier="mine_scores:f", allow_false_rejects=9, allow_errors=1).run() == 0
    cases.write_text(case(question="18 of what?"))
    assert Audit(cases, verifier="mine_scores:plain").run() == 0
    assert Audit(cases, verifier="mine_scores:verify").run() == 0
    assert Audit(cases, verdicts=out, verifier="mine_scores:words").run() == 1
    assert statuses(out) == ["error"]


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("nowhere:f", r"package\.module:name"),
        ("mine_bad:absent", r"package\.module:name"),
        ("mine_bad", r"package\.module:name"),
        ("mine_bad:Verifier", r"is a class; name an instance of it, as in `verify = Verifier\(\)`"),
        ("mine_bad:number", "is a int, not a function"),
        ("mine_bad:one", r"takes \(completion\); it must take \(completion, gold\)"),
        ("mine_broken:f", "ZeroDivisionError"),
    ],
)
def test_what_is_no_verifier_is_one_clear_error(mine: Path, reference: str, message: str) -> None:
    """A class, a value, a function of one argument and a module that fails end the audit before any case."""
    (mine / "mine_bad.py").write_text("class Verifier: pass\nnumber = 3\ndef one(completion): return 1\n")
    (mine / "mine_broken.py").write_text("1 / 0\n")
    (mine / "cases.jsonl").write_text(case())
    with pytest.raises(InputError, match=message):
        Audit(mine / "cases.jsonl", verifier=reference).run()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        ('{"id": 1}', "no field 'kind'"),
        (case(kind="poem"), "the kinds are"),
        (case(expected=1), "true or false"),
        ("", "holds no case"),
    ],
)
def test_bad_cases_are_named(tmp_path: Path, line: str, message: str) -> None:
    """A malformed case file names the line and what is wrong."""
    path = tmp_path / "cases.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(InputError, match=message):
        read_cases(path)
