"""One model's figures of a suite in the structure of lm-evaluation-harness 0.4's `results_*.json`.

No figure passes for that harness's own: the filters say whose reading it is (strict-match, flexible-extract, rlpath,
sampled), the model's source is rlpath, and truncated, no answer and undecided are metrics beside the others.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np

from rlpath.core.stats import pass_at_k
from rlpath.evals.measure.evaluation import Evaluation
from rlpath.evals.suite.answers import Answers
from rlpath.evals.suite.headline import Headline
from rlpath.evals.suite.result import SuiteResult

SHARES = ("truncated", "no_answer", "undecided")
"""Shares of the sampled completions, by the headline's names: the lower the better."""
NO_ERROR = "N/A"
"""What lm-evaluation-harness writes where a metric has no standard error."""


def lm_eval_results(result: SuiteResult, answers: Answers, member: str) -> dict[str, Any]:
    """One model's figures in the structure of lm-evaluation-harness 0.4's `results_*.json`.

    `n-samples` holds as original what was asked too, since a result does not know the size of the split; `limit` in
    `config` says where that was fewer than the split has.
    """
    found = {headline.task: headline for headline in result.headlines if headline.model == member}
    metrics = {task: _metrics(headline, answers[member, task]) for task, headline in found.items()}
    began = started(result)
    git = (result.manifest.get("rlpath") or {}).get("git") or {}
    return {
        "results": {
            task: {"name": task, "alias": task, "sample_len": found[task].problems, **values}
            for task, values in metrics.items()
        },
        "group_subtasks": {task: [] for task in found},
        "configs": {task: _config(result, headline, answers[member, task]) for task, headline in found.items()},
        "versions": dict.fromkeys(found, 1),
        "n-shot": {task: shots for task in found if (shots := _template(result, task).get("shots")) is not None},
        "higher_is_better": {
            task: {name: name not in SHARES for name in _names(values)} for task, values in metrics.items()
        },
        "n-samples": {task: {"original": each.problems, "effective": each.problems} for task, each in found.items()},
        "config": _run_config(result, member),
        "git_hash": git.get("commit"),
        "date": datetime.fromisoformat(began).timestamp() if began else None,
        "model_source": "rlpath",
        "model_name": member,
        "model_name_sanitized": safe_name(member),
    }


def _metrics(headline: Headline, evaluation: Evaluation) -> dict[str, float | str]:
    readings = {
        ("exact_match", "strict-match"): headline.strict,
        ("exact_match", "flexible-extract"): headline.flexible,
        ("acc", "rlpath"): headline.ours,
    }
    rows: list[tuple[str, str, float, float | str]] = [
        (*names, found.estimate, _binary_error(found.estimate, headline.problems)) for names, found in readings.items()
    ]
    for k, interval in headline.pass_at.items():
        rows.append((f"pass@{k}", "sampled", interval.estimate, _pass_error(evaluation, k)))
    rows += [(f"maj@{k}", "sampled", found.estimate, NO_ERROR) for k, found in headline.majority_at.items()]
    rows += [(name, "sampled", getattr(headline, name), NO_ERROR) for name in SHARES]
    return {
        key: value
        for name, filter, figure, error in rows
        for key, value in ((f"{name},{filter}", figure), (f"{name}_stderr,{filter}", error))
    }


def _binary_error(share: float, n: int) -> float | str:
    """The standard error of a share of n, with n - 1 as lm-evaluation-harness has it."""
    return math.sqrt(share * (1 - share) / (n - 1)) if n > 1 else NO_ERROR


def _pass_error(evaluation: Evaluation, k: int) -> float | str:
    n = evaluation.protocol.samples
    values = [pass_at_k(n, correct, k) for correct in evaluation.correct("sample").values()]
    return float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else NO_ERROR


def _names(values: Mapping[str, Any]) -> list[str]:
    names = dict.fromkeys(key.partition(",")[0] for key in values)
    return [name for name in names if not name.endswith("_stderr")]


def _config(result: SuiteResult, headline: Headline, evaluation: Evaluation) -> dict[str, Any]:
    protocol, template = evaluation.protocol, _template(result, headline.task)
    decoding = protocol.sampled or protocol.greedy
    return {
        "task": headline.task,
        "dataset_path": protocol.name,
        "test_split": protocol.split,
        "doc_to_text": template.get("text"),
        "output_type": "generate_until",
        "num_fewshot": template.get("shots"),
        "repeats": protocol.samples or 1,
        "generation_kwargs": {
            "max_gen_toks": decoding.max_tokens,
            "temperature": decoding.temperature,
            "do_sample": protocol.sampled is not None,
            "until": list(template.get("stop", ())),
        },
        "metadata": {
            "version": 1,
            "template": headline.template,
            "verifier": protocol.verifier,
            "sha256": protocol.sha256,
            "greedy": "exact_match and acc are of one greedy completion, pass@k and maj@k of the sampled ones",
        },
    }


def _template(result: SuiteResult, task: str) -> Mapping[str, Any]:
    """The template of a task, as the manifest has it; empty where it has none."""
    rows = result.manifest.get("tasks") or []
    found = (row.get("template") for row in rows if isinstance(row, Mapping) and row.get("name") == task)
    return next((row for row in found if isinstance(row, Mapping)), {})


def _run_config(result: SuiteResult, member: str) -> dict[str, Any]:
    entrant = next(each for each in result.entrants if member in each.members)
    plan = (result.manifest.get("config") or {}).get("plan") or {}
    seed = plan.get("seed")
    seeds = {f"{name}_seed": seed for name in ("random", "numpy", "torch", "fewshot")}
    return {
        "model": "rlpath",
        "model_args": f"pretrained={member}",
        "model_num_parameters": entrant.parameters,
        "model_sha": entrant.sha256[entrant.members.index(member)] if entrant.sha256 else "",
        "model_dtype": plan.get("dtype"),
        "batch_size": None,
        "batch_sizes": [],
        "device": None,
        "use_cache": None,
        "limit": plan.get("size"),
        "bootstrap_iters": 0,
        "gen_kwargs": None,
        **seeds,
    }


def safe_name(label: str) -> str:
    """A label as the name of a folder."""
    return re.sub(r"[^\w.=-]+", "_", label).strip("._") or "model"


def started(result: SuiteResult) -> str:
    """When the suite began, ISO 8601, "" where the manifest does not say."""
    return str(result.manifest.get("started", ""))
