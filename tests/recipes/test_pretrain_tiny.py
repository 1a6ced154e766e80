"""Pretraining on a laptop: what it leaves is a transformers model; a killed run ends at the same bits."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from rlpath.envs.arithmetic import arithmetic
from rlpath.envs.tiny_text import held_out_sums, tiny_text
from rlpath.models.chat import encode_chat

RECIPE = Path(__file__).parents[2] / "recipes" / "pretrain_tiny.py"


def run(root: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """The smallest preset."""
    words = [sys.executable, str(RECIPE), "--smoke", "--root", str(root), *flags]
    return subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run."""
    root = tmp_path_factory.mktemp("whole")
    done = run(root)
    assert done.returncode == 0, done.stderr
    (folder,) = (root / "pretrain_tiny").glob("*/seed-0")
    return folder


def test_the_model_is_one_that_transformers_loads(whole: Path) -> None:
    """Its template asks for an answer, digits are tokens of their own, and its end token ends an answer."""
    tokenizer = AutoTokenizer.from_pretrained(whole / "model")
    model = AutoModelForCausalLM.from_pretrained(whole / "model")
    ids = encode_chat(tokenizer, "What is 12 + 7?")
    assert tokenizer.decode(ids) == "User: What is 12 + 7?\nAssistant: "
    assert [token for token in tokenizer.tokenize("127") if token.strip("Ġ")] == ["1", "2", "7"]
    assert model(torch.tensor([ids])).logits.shape == (1, len(ids), 320)
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id


def test_a_killed_run_ends_at_the_same_bits(whole: Path, tmp_path: Path) -> None:
    """Killed after its third step, it goes on from the checkpoint of the second."""
    words = [sys.executable, "-u", str(RECIPE), "--smoke", "--root", str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as first:
        assert first.stdout is not None
        assert any("step 3/6" in line for line in first.stdout)
        first.kill()
    done = run(tmp_path)
    assert "going on from step" in done.stdout, done.stderr
    for name in ("model/model.safetensors", "model/tokenizer.json"):
        assert (tmp_path / whole.relative_to(whole.parents[2]) / name).read_bytes() == (whole / name).read_bytes()
    assert "this run is finished" in run(tmp_path).stdout


def test_nothing_held_out_is_in_the_text() -> None:
    """No sum of the validation side stands in any document, in any form; a planted one is found in every form."""
    documents, counts = tiny_text("add-2", 2000, 1000)
    text = " ".join(documents)
    held_out = arithmetic("validation", "add-2").problems
    assert counts["sums"] == 2000 and 500 < counts["word problems"] <= 1000
    for problem in held_out:
        a, b = problem.meta["operands"]
        for form in (f" {a} + {b} ", f" {a} plus {b} ", f" {b} + {a} ", f" {b} plus {a} "):
            assert form not in text
    assert held_out_sums(documents, held_out) == []
    a, b = held_out[0].meta["operands"]
    planted = [f"1 + 2 = 3. {a} + {b} = {a + b}.", f"{b} plus {a} is {a + b}.", f"3 * 4 = 12. {a} - {b} = 0."]
    assert held_out_sums([*planted, f"{a} apples and {b} pears"], held_out) == planted
