"""One spelling and the field's words: nothing that CONTRIBUTING's glossary has a plainer word for."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KINDS = (".py", ".md", ".toml", ".yml", ".j2", ".html", ".css", ".cff")
ELSEWHERE = ("tests/house/test_words.py", "recipes/reports/", "scripts/docs/mkdocs.yml", "constraints.txt")
"""This list, pages that a command wrote, and a palette of the site that is called "blue grey"."""

BRITISH = (
    r"(?:normal|general|special|final|capital|formal|minim|maxim|organ|local|optim|summar|recogn|random|initial|factor"
    r"|standard|penal|regular|token|serial|quant|real|util|memor|vector|discret|parametr|character|prior|categor"
    r"|visual|stabil|synchron|linear|author|custom)is(?:e|es|ed|er|ers|ing|ation|ations)\b"
    r"|(?:col|fav|flav|hon|lab|neighb|behavi|arm|rig|vig|rum|hum|endeav)our"
    r"|\bgrey|centre|\bcentring|\b(?:un)?(?:re)?learnt\b|label(?:led|ling)|signalled|cancelled|modell(?:ed|ing)|travell"
    r"|centerd|analysed|licence|practis(?:e|ing)|judgement|artefact|defence|offence|catalogue|whilst|amongst|fulfils?\b|sceptic"
)
COINED = {
    r"\bpaid for / wanted\b": "proxy reward, true reward",
    r"\bdear(?:er|est)?\b|\bprice of (?:a nat|leaving|divergence|the KL)|\bis paid for\b": "KL coefficient β",
    r"\blikeliest_action\b|\bbounded_action\b|\bstandardi[sz]ed_advantages\b": "greedy, clipped, normalized",
    r"\bBegun\b|\bbegin\(recipe|\bjudges\(": "RunContext, start_run, verifiers_of",
    r"\blikeli(?:er|est)\b": "more probable, most probable",
    r"\banew\b|\bafresh\b|\bthereby\b|\bhitherto\b|\bworth while\b": "again, so, until now, worth it",
    r"\b(?:KL|divergence) price\b|\bprice is (?:fixed|steered)": "KL coefficient β",
    r"\bclass (?:Prompted|Asked|Entered)\b": "TemplatedSampler, TaskRun, ModelEntry",
    r"\bfigure_[A-Z]\b|\b_Careful\b|\bclass Numbered\b|\bthat_fit\b|\bname_base\b": "a name that says what it is",
}


def files() -> list[Path]:
    """Tracked text of the project, links not followed."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    chosen = [line for line in listed.splitlines() if line.endswith(KINDS) and not line.startswith(ELSEWHERE)]
    return [path for line in chosen if (path := ROOT / line).is_file() and not path.is_symlink()]


def found(pattern: str) -> list[str]:
    """File, line and word of every match, whatever its case where the pattern has no capitals."""
    flags = 0 if re.search(r"(?<!\\)[A-Z]", pattern) else re.IGNORECASE
    return [
        f"{path.relative_to(ROOT)}:{number}: {match[0]}"
        for path in files()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        for match in re.finditer(pattern, line, flags)
    ]


def test_one_spelling() -> None:
    """American spelling in code, messages and documents."""
    assert found(BRITISH) == []


@pytest.mark.parametrize("pattern", COINED, ids=COINED.values())
def test_the_words_of_the_field(pattern: str) -> None:
    """No word of our own where the glossary has one that researchers know."""
    assert found(pattern) == []
