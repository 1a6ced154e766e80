"""A model card made from what a run wrote down: base, data with hashes, command, results with intervals, limits.

Nothing in it is typed by hand. What was not measured is said to be unmeasured: contamination is "unchecked" unless the
manifest records the screen before training.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rlpath.core.errors import InputError
from rlpath.core.files import write_atomic
from rlpath.evals.compare.comparison import Comparison, p_text, points
from rlpath.evals.contamination.screen import sentence
from rlpath.evals.measure.findings import Finding, read_findings
from rlpath.evals.report.run_report import comparison_of, difference, share, title_of
from rlpath.runs.run_folder import RunRecord, read_run


def write_card(run: Path) -> Path:
    """Write `model/README.md` of a run and return its path. Raises InputError where the run saved no model."""
    record = read_run(run)
    folder = run / "model"
    if not folder.is_dir():
        raise InputError(f"{run} has saved no model yet: finish the run first")
    path = folder / "README.md"
    write_atomic(path, "\n".join(_lines(record, folder)).rstrip() + "\n")
    return path


def _lines(record: RunRecord, folder: Path) -> Iterable[str]:
    adapter = _adapter(folder)
    base = _base(record)
    comparison = comparison_of(record.path)
    findings = read_findings(record.path)
    yield from _front_matter(record, adapter, base)
    yield f"# {title_of(record)}, seed {record.config.get('seed', '?')}"
    yield ""
    yield _what(record, adapter, base)
    yield ""
    yield from _use(adapter, base)
    yield from ["## Results", ""]
    yield from _results(comparison, findings)
    yield from ["## Data", ""]
    yield from markdown_table(("name", "split", "n", "sha256", "source"), [_data(row) for row in _rows(record, "data")])
    yield from ["## Training", ""]
    yield from _training(record)
    yield from ["## Contamination", "", _contamination(record), ""]
    yield from ["## Limits", ""]
    yield from (f"- {limit}" for limit in _limits(record, comparison, base))


def _adapter(folder: Path) -> dict[str, Any] | None:
    path = folder / "adapter_config.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def _base(record: RunRecord) -> Mapping[str, Any]:
    found = record.manifest.get("model")
    return found if isinstance(found, Mapping) else {}


def _front_matter(record: RunRecord, adapter: Mapping[str, Any] | None, base: Mapping[str, Any]) -> Iterable[str]:
    yield "---"
    yield f"base_model: {json.dumps(str(base.get('name', 'unknown')))}"
    yield f"library_name: {'peft' if adapter else 'transformers'}"
    yield f"tags: [rlpath, trl, {title_of(record).split('_')[0]}{', lora' if adapter else ''}]"
    yield "---"
    yield ""


def _what(record: RunRecord, adapter: Mapping[str, Any] | None, base: Mapping[str, Any]) -> str:
    kind = f"A LoRA adapter of rank {adapter['r']} (alpha {adapter['lora_alpha']})" if adapter else "All weights"
    hashes = "; ".join(f"{name} sha256 {digest}" for name, digest in (base.get("sha256") or {}).items())
    return (
        f"{kind} on `{base.get('name', 'unknown')}` ({hashes or 'weights not hashed'}), "
        f"trained by `{title_of(record)}` for {record.config.get('steps', '?')} steps."
    )


def _use(adapter: Mapping[str, Any] | None, base: Mapping[str, Any]) -> Iterable[str]:
    yield from ["## Use", "", "```python", "from transformers import AutoModelForCausalLM, AutoTokenizer"]
    if adapter is None:
        yield from ['model = AutoModelForCausalLM.from_pretrained("THIS_FOLDER")']
    elif adapter.get("task_type") == "SEQ_CLS":
        yield from ["from rlpath.rewards.combine.reward_model import RewardModelReward"]
        yield from ['reward = RewardModelReward("THIS_RUN/merged")  # base and adapter in one']
    else:
        yield from [
            "from peft import PeftModel",
            "from rlpath.models.load import resolve_model",
            "",
            f'base = AutoModelForCausalLM.from_pretrained(resolve_model("{base.get("name", "")}"), dtype="bfloat16")',
            'model = PeftModel.from_pretrained(base, "THIS_FOLDER")  # .merge_and_unload() for plain weights',
        ]
    yield from ['tokenizer = AutoTokenizer.from_pretrained("THIS_FOLDER")', "```", ""]


def _results(comparison: Comparison | None, findings: Sequence[Finding]) -> Iterable[str]:
    if comparison is None and not findings:
        yield from ["Not evaluated.", ""]
    if comparison is not None:
        protocol = comparison.protocol
        yield f"{comparison.sentence[:1].upper()}{comparison.sentence[1:]}."
        yield ""
        rows = [
            (c.metric, share(c.before), share(c.after), difference(c.difference), p_text(c.p), points(c.detectable))
            for c in comparison.changes
        ]
        head = ("metric", "before", "after", "difference, points", "p", "smallest visible effect, points")
        yield from markdown_table(head, rows)
        yield (
            f"{protocol.problems} held-out problems of {protocol.name} ({protocol.split}, sha256 {protocol.sha256}), "
            f"{protocol.decoding}, verified by {protocol.verifier}. Brackets are 95 % intervals."
        )
        yield ""
    for finding in findings:
        yield from [f"### {finding.title}", "", f"{finding.sentence[:1].upper()}{finding.sentence[1:]}.", ""]
        if finding.rows:
            yield from markdown_table(finding.head, finding.rows)


def _data(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(row.get(name, "")) for name in ("name", "split", "n", "sha256", "source"))


def _training(record: RunRecord) -> Iterable[str]:
    manifest = record.manifest
    git = manifest.get("rlpath", {}).get("git") or {}
    revision = git.get("commit", "not in a checkout") + (" with local changes" if git.get("dirty") else "")
    yield "```sh"
    yield " ".join(["python", *map(str, manifest.get("command", ["unknown"]))])
    yield "```"
    yield ""
    packages = ", ".join(f"{name} {version}" for name, version in manifest.get("packages", {}).items())
    hardware = manifest.get("hardware", {})
    machine = f"{hardware.get('cpu', '?')}, {hardware.get('cores', '?')} cores, {len(hardware.get('gpus', []))} GPUs"
    rows = [
        ("seed", str(record.config.get("seed", "?"))),
        ("rlpath", f"{manifest.get('rlpath', {}).get('version', '?')}, revision {revision}"),
        ("packages", packages),
        ("hardware", machine),
        ("started", str(manifest.get("started", "?"))),
    ]
    if manifest.get("prereg"):
        rows.append(("preregistration", str(manifest["prereg"].get("sha256"))))
    yield from markdown_table(("what", "value"), rows)
    yield from ["Configuration:", "", "```json", json.dumps(record.config, indent=1, ensure_ascii=False), "```", ""]


def _contamination(record: RunRecord) -> str:
    screened = record.manifest.get("contamination")
    if not screened:
        return "Unchecked: no comparison of training data (the base model's own included) with the held-out problems."
    found = sentence(screened)
    return f"{found[:1].upper()}{found[1:]}. What the base model was trained on was not compared."


def _limits(record: RunRecord, comparison: Comparison | None, base: Mapping[str, Any]) -> Iterable[str]:
    yield "One training seed: these intervals are over examples or problems and say nothing of other seeds."
    if comparison is not None:
        yield (
            f"One kind of problem ({comparison.protocol.name}), one protocol; the smallest pass@1 effect it could "
            f"show is {points(comparison.change('pass@1').detectable)} points."
        )
    if base.get("name") == "smollm2-135m-instruct":
        yield "The base is a 4-bit package of SmolLM2-135M-Instruct converted to bf16, weaker than the published one."
    notes = record.path / "substitutions.json"
    if notes.exists():
        yield from (str(note) for note in json.loads(notes.read_text(encoding="utf-8")))
    yield "Not examined for safety, bias or anything else that the tables above do not name."


def _rows(record: RunRecord, name: str) -> list[Mapping[str, Any]]:
    return [row for row in record.manifest.get(name) or [] if isinstance(row, Mapping)]


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterable[str]:
    """A Markdown table; a bar inside a cell is escaped."""
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
    yield ""
