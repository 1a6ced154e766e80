"""The whole path at smoke size: every stage from the one before, killed in each it ends at the same bits."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from rlpath.cli.main import run as run_rlpath
from rlpath.core.files import read_json
from rlpath.models.chat import encode_chat
from rlpath.runs.run_folder import RunFolder, read_run

RECIPES = Path(__file__).parents[2] / "recipes"


class Killed(BaseException):
    """Ends a stage as a kill does: no handler takes it."""


def load(recipe: str) -> Any:
    """A recipe as a module, under a name of its own."""
    name = f"recipe_{recipe}"
    if name not in sys.modules:
        spec = spec_from_file_location(name, RECIPES / f"{recipe}.py")
        assert spec is not None and spec.loader is not None
        sys.modules[name] = module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def here(words: Sequence[str], environment: dict[str, str], what: str) -> None:
    """A stage in this process, which has the libraries loaded already; at its end it lets go of its run folder."""
    opened: list[RunFolder] = []
    begin = RunFolder.__init__

    def begin_and_note(self: RunFolder, *given: Any) -> None:
        begin(self, *given)
        opened.append(self)

    with pytest.MonkeyPatch.context() as patch, ExitStack() as end:
        patch.setattr(RunFolder, "__init__", begin_and_note)
        end.callback(lambda: [run.close() for run in opened])
        for name, value in environment.items():
            patch.setenv(name, value)
        if words[0] == "-m":
            assert run_rlpath(words[2:]) == 0
            return
        patch.setattr(sys, "argv", list(words))
        load(Path(words[0]).stem).main()


def walk(root: Path) -> dict[str, Path]:
    """All stages of seed 0 and the last evaluation, gone on from where they stopped; the run folder of each stage."""
    path = load("tiny_path")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(path, "call", here)
        patch.setattr(sys, "argv", ["tiny_path.py", "--smoke", "--root", str(root)])
        path.main()
    return {stage: next(root.glob(f"{stage}/*/seed-0")) for stage in path.STAGES}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The path without an interruption."""
    return walk(tmp_path_factory.mktemp("whole"))


def test_each_stage_starts_from_the_weights_of_the_one_before(whole: dict[str, Path]) -> None:
    """By the hashes in the manifests; all stages looked for what is evaluated in what they train on."""
    first, second, third = (read_run(run) for run in whole.values())
    assert second.manifest["model"]["path"] == str(first.path / "model")
    assert third.manifest["model"]["path"] == str(second.path / "model")
    assert "{seed}" in second.config["model"] and "{seed}" in third.config["model"]
    for record in (first, second, third):
        assert "worked-sums:add-1x2 (validation)" in record.manifest["contamination"]["checked"]
        assert record.manifest["contamination"]["copied"] == 0
    assert first.manifest["contamination"]["documents_with_held_out_sums"] == 0


def test_the_pretrained_model_is_one_that_transformers_loads(whole: dict[str, Path]) -> None:
    """Its template asks for an answer, digits are tokens of their own, and its end token ends an answer."""
    folder = whole["pretrain_tiny"] / "model"
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    ids = encode_chat(tokenizer, "What is 12 + 7?")
    assert tokenizer.decode(ids) == "User: What is 12 + 7?\nAssistant: "
    assert [token for token in tokenizer.tokenize("127") if token.strip("Ġ")] == ["1", "2", "7"]
    assert model(torch.tensor([ids])).logits.shape == (1, len(ids), 320)
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id


def test_the_table_and_the_last_evaluation_hold_every_stage(whole: dict[str, Path]) -> None:
    """The base, SFT and GRPO in one table; GRPO against SFT by rlpath eval."""
    last = whole["grpo_tiny"]
    folder = last.parents[2] / "tiny_path" / last.parent.name
    assert [row["stage"] for row in read_json(folder / "ladder.json")["arithmetic"]] == ["base", "sft", "grpo"]
    assert "bits a byte on held-out text" in (folder / "ladder.md").read_text()
    (contrast,) = read_json(folder / "evaluation" / "result.json")["contrasts"]
    assert (contrast["task"], contrast["same_size"]) == ("held_out_sums", True)


def test_killed_in_every_stage_it_ends_at_the_same_bits(
    whole: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after the first checkpoint of each stage."""
    mark, killed = RunFolder.mark_complete, set()

    def mark_and_die(self: RunFolder, checkpoint: Path, **options: Any) -> None:
        mark(self, checkpoint, **options)
        stage = self.path.parent.parent.name
        if stage not in killed:
            killed.add(stage)
            raise Killed

    monkeypatch.setattr(RunFolder, "mark_complete", mark_and_die)
    for _ in whole:
        with pytest.raises(Killed):
            walk(tmp_path)
    again = walk(tmp_path)
    assert killed == set(whole)
    for stage, run in whole.items():
        weights = Path("model") / "model.safetensors"
        assert (again[stage] / weights).read_bytes() == (run / weights).read_bytes()
