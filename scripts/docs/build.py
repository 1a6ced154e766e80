"""Assemble the website: copy the pages from beside what they describe, add the API reference, and run MkDocs strictly.

    python scripts/docs/build.py

The result is `build/site/index.html`. In a page of an algorithm a table row names a file and a line of its code; the
build adds the number of that line and fails where the line is not there.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "build" / "docs"
REFERENCE = re.compile(r"\| `([\w/]+\.py)` \| `(.+)` \|$", re.M)
QUIET = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
LINK = re.compile(r"(!?\[[^\]]*\])\(([^)#\s]+)(#[^)\s]*)?\)")
KEPT = (".md", ".svg", ".html")
"""Kinds of files that the site holds; a link to any other file becomes its path as text."""
API = {
    "rewards": ("rlpath.rewards", "rlpath.rewards.verifiers.number", "rlpath.rewards.verifiers.choice"),
    "losses": (
        "rlpath.losses.policy",
        "rlpath.losses.advantages",
        "rlpath.losses.preference",
        "rlpath.losses.divergence",
    ),
    "statistics": (
        "rlpath.core.stats.values",
        "rlpath.core.stats.intervals",
        "rlpath.core.stats.levels",
        "rlpath.core.stats.paired",
        "rlpath.core.stats.runs",
        "rlpath.core.stats.quantiles",
    ),
    "types": ("rlpath.core.types", "rlpath.core.errors", "rlpath.core.seeding"),
    "sandbox": ("rlpath.rewards.sandbox.host",),
}


def pages() -> list[Path]:
    """Every Markdown file of the repository that belongs to the site, links in rlpath/ not followed."""
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    files = [ROOT / line for line in listed.splitlines() if not line.startswith((".github", "tests/"))]
    return [file for file in files if file.is_file()]


def line_of(file: str, code: str) -> int:
    """The number of the first line of `file` that is `code`. Raises SystemExit where there is none."""
    lines = [line.strip() for line in (ROOT / file).read_text(encoding="utf-8").splitlines()]
    if code not in lines:
        raise SystemExit(f"{file} has no line `{code}`: mend the page that names it")
    return lines.index(code) + 1


def numbered(text: str) -> str:
    """The page with line numbers behind the files of its table."""
    return REFERENCE.sub(lambda m: f"| `{m[1]}`, line {line_of(m[1], m[2])} | `{m[2]}` |", text)


def relinked(text: str, page: Path) -> str:
    """Links between kept files stay; one to a folder or to code becomes plain text."""

    def replace(match: re.Match[str]) -> str:
        words, target = match[1], match[2]
        if "://" in target or target.startswith("mailto:"):
            return match[0]
        file = (page.parent / target).resolve()
        if target.endswith(KEPT) and file.is_file():
            return match[0]
        return f"{words[1:-1]} (`{file.relative_to(ROOT).as_posix()}`)"

    return LINK.sub(replace, text)


def copy_pages() -> None:
    for page in pages():
        text = numbered(relinked(page.read_text(encoding="utf-8"), page))
        target = DOCS / page.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    shutil.copy(Path(__file__).with_name("site.css"), DOCS / "site.css")
    for folder in ("recipes/figures", "recipes/reports"):
        for file in (ROOT / folder).iterdir():
            if file.suffix in KEPT:
                (DOCS / folder).mkdir(parents=True, exist_ok=True)
                shutil.copy(file, DOCS / folder / file.name)


def write_api() -> None:
    """One page a subject, filled by mkdocstrings from the docstrings."""
    (DOCS / "api").mkdir(parents=True)
    for name, modules in API.items():
        body = "\n\n".join(f"::: {module}" for module in modules)
        (DOCS / "api" / f"{name}.md").write_text(f"# API: {name}\n\n{body}\n", encoding="utf-8")


def main() -> int:
    """Exit status of MkDocs: not zero where a link leads nowhere."""
    shutil.rmtree(DOCS, ignore_errors=True)
    copy_pages()
    write_api()
    config = Path(__file__).with_name("mkdocs.yml")
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "-q", "-f", str(config)], check=False, env=QUIET
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
