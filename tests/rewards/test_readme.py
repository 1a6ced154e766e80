"""The table of the ways a verifier is fooled names tests and cases that exist."""

import json
import re
from pathlib import Path

HERE = Path(__file__).parent
README = (HERE.parents[1] / "rewards" / "README.md").read_text(encoding="utf-8")


def test_every_way_to_fool_a_verifier_has_its_test() -> None:
    """Each row of the table ends with tests of this folder or classes of labeled cases, and each of those exists."""
    section = README.split("## Ways a verifier is fooled")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ") and not line.startswith("| how")]
    assert len(rows) >= 58
    tests = set(re.findall(r"def (test_\w+)", "".join(path.read_text("utf-8") for path in HERE.glob("test_*.py"))))
    for row in rows:
        covered = re.split(r"(?<!\\)\|", row.strip().strip("|"))[-1]
        names = re.findall(r"`([^`]+)`", covered)
        assert names, row
        kind = ""
        for part in covered.split(";"):
            kind = (re.match(r"\s*(\w+) `", part) or [None, ""])[1]
            for name in re.findall(r"`([^`]+)`", part):
                assert name in (tests if name.startswith("test_") else classes(kind)), (row, name)


def classes(kind: str) -> set[str]:
    """The classes of the labeled cases of a kind."""
    text = (HERE / "verifier_cases" / f"{kind}.jsonl").read_text(encoding="utf-8")
    return {json.loads(line)["class"] for line in text.split("\n") if line}
