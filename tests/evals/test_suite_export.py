"""A suite in the forms that others read: lm-evaluation-harness, and a card that the hub's client reads back."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import model_index_to_eval_results

from rlpath.core.errors import InputError
from rlpath.evals.report.export import eval_results, write_exports
from rlpath.evals.suite.answers import read_answers
from tests.evals.suite_results import MANIFEST, suite_result


def exported(folder: Path, model: str) -> dict[str, object]:
    write_exports(suite_result(folder), folder)
    return json.loads((folder / "exports" / model / "results_2026-11-27T02-30-00.json").read_text())


def test_every_model_gets_both_files(tmp_path: Path) -> None:
    """Two a training seed and two of the baseline, under names that any file system takes."""
    written = write_exports(suite_result(tmp_path), tmp_path)

    names = [path.relative_to(tmp_path / "exports").as_posix() for path in written]
    models = ("trained_seed_3", "trained_seed_4", "start")
    files = ("results_2026-11-27T02-30-00.json", "README.md")
    assert names == [f"{model}/{file}" for model in models for file in files]
    assert all(path.is_file() for path in written)


def test_lm_eval_has_every_part_for_every_task(tmp_path: Path) -> None:
    """The parts its tables and loaders read, one entry a task in each."""
    row = exported(tmp_path, "start")

    parts = ("results", "group_subtasks", "configs", "versions", "higher_is_better", "n-samples")
    assert all(set(row[part]) == {"sums", "words"} for part in parts)  # type: ignore[arg-type]
    assert row["n-shot"] == {"sums": 2}, "the manifest says nothing of the other task"
    assert row["n-samples"]["sums"] == {"original": 5, "effective": 5}  # type: ignore[index]
    assert row["git_hash"] == "0123abcd" and row["date"] == 1795746600.0
    assert (row["model_name"], row["model_name_sanitized"], row["model_source"]) == ("start", "start", "rlpath")


def test_lm_eval_metrics_carry_filter_and_error(tmp_path: Path) -> None:
    """Readings with sqrt(p (1 - p) / (n - 1)), pass@k with the error over problems, shares of which less is better."""
    row = exported(tmp_path, "start")
    sums = row["results"]["sums"]  # type: ignore[index]

    assert (sums["name"], sums["alias"], sums["sample_len"]) == ("sums", "sums", 5)
    assert sums["acc,rlpath"] == 0.4 and sums["acc_stderr,rlpath"] == pytest.approx(math.sqrt(0.4 * 0.6 / 4))
    assert sums["exact_match,strict-match"] == 0.04 and sums["exact_match,flexible-extract"] == 0.47
    assert sums["pass@1,sampled"] == 0.5 and sums["pass@1_stderr,sampled"] == 0.0, "one of two is right everywhere"
    assert sums["maj@2,sampled"] == 0.523 and sums["maj@2_stderr,sampled"] == "N/A"
    assert (sums["truncated,sampled"], sums["no_answer,sampled"], sums["undecided,sampled"]) == (0.123, 0.234, 0.345)
    better = row["higher_is_better"]["sums"]  # type: ignore[index]
    assert better["acc"] and better["pass@2"] and not better["truncated"] and "acc_stderr" not in better


def test_lm_eval_says_how_it_was_asked(tmp_path: Path) -> None:
    """Template, decoding, verifier and hash in the task's configuration; model, size and seed in the run's."""
    row = exported(tmp_path, "trained_seed_4")
    config, sums = row["config"], row["configs"]["sums"]  # type: ignore[index]

    assert config["model_args"] == "pretrained=trained, seed 4" and config["model_sha"] == "ef" * 32  # type: ignore[index]
    assert (config["model_num_parameters"], config["limit"], config["fewshot_seed"]) == (1_100, 5, 7)  # type: ignore[index]
    assert sums["doc_to_text"] == "Add: {question}" and sums["generation_kwargs"]["until"] == ["Q:"]
    assert sums["generation_kwargs"]["max_gen_toks"] == 8 and sums["repeats"] == 2
    assert sums["metadata"]["sha256"] == "ab" * 32 and sums["metadata"]["verifier"] == "NumberVerifier"


def test_a_model_card_reads_back_what_was_written(tmp_path: Path) -> None:
    """The hub's own client finds the same entries in the card's front matter, limits included."""
    found = suite_result(tmp_path)
    write_exports(found, tmp_path)
    wanted = eval_results(found, read_answers(found, tmp_path), "trained, seed 3")
    card = ModelCard.load(tmp_path / "exports" / "trained_seed_3" / "README.md")

    assert model_index_to_eval_results(card.data.to_dict()["model-index"]) == ("trained, seed 3", wanted)
    accuracy = wanted[0]
    assert (accuracy.dataset_name, accuracy.dataset_split, accuracy.metric_value) == ("sums", "validation", 0.4)
    assert accuracy.metric_args == {"low": 0.2, "high": pytest.approx(0.6), "level": 0.95, "method": "by hand"}
    assert {each.metric_type for each in wanted} >= {"accuracy", "pass@2", "maj@2", "truncated", "no_answer"}


def test_a_model_card_keeps_claim_limit_and_warning(tmp_path: Path) -> None:
    """A score never stands in it without what was said of it."""
    found = suite_result(tmp_path, warnings=("start has another size",))
    write_exports(found, tmp_path)
    trained, start = ((tmp_path / "exports" / name / "README.md").read_text() for name in ("trained_seed_3", "start"))

    assert "- sums: improved, contamination unchecked (pass@1 54.0 % against 42.0 %)" in trained
    assert "- start has another size" in trained and "base_model: start" in trained
    assert "| sums | 5 | 40.0 % [20.0, 60.0] | 4.0 % [1.0, 11.0] |" in trained
    assert "What may be said" not in start and "- start has another size" in start


def test_the_same_result_gives_the_same_bytes(tmp_path: Path) -> None:
    """Nothing depends on time or chance."""
    found = suite_result(tmp_path)
    first = [path.read_bytes() for path in write_exports(found, tmp_path)]

    assert [path.read_bytes() for path in write_exports(found, tmp_path)] == first


def test_what_is_missing_is_left_out_or_said(tmp_path: Path) -> None:
    """No manifest: no time and no shots are made up. No evaluation file: one sentence."""
    found = suite_result(tmp_path, manifest={})
    path = write_exports(found, tmp_path)[0]
    row = json.loads(path.read_text())

    assert path.name == "results_unknown-time.json"
    assert row["date"] is None and row["n-shot"] == {} and row["git_hash"] is None
    with pytest.raises(InputError, match="names no evaluation file"):
        write_exports(replace(found, answers={}, manifest=MANIFEST), tmp_path)
