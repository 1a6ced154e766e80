"""A model of Qwen2.5-0.5B's shape goes through a LoRA GRPO step on a machine without a GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = """
import copy, itertools, json, resource, sys, time
import torch
from accelerate import Accelerator
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen2Config
from rlpath.models.hf_sampler import HFSampler
from rlpath.posttrain.loop import OnPolicyTrainer
from rlpath.posttrain.settings import GRPOSettings
from rlpath.core.types import Problem, Status, Verdict

PROMPTS, GROUP, LONGEST = 4, 4, 32


def main():
    tokenizer_folder, folder = sys.argv[1:]
    config = Qwen2Config(
        vocab_size=151936, hidden_size=896, num_hidden_layers=24, num_attention_heads=14, num_key_value_heads=2,
        intermediate_size=4864, tie_word_embeddings=True, max_position_embeddings=32768, bos_token_id=1,
        eos_token_id=2, pad_token_id=0,
    )
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    parameters = model.num_parameters()
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    sampler = HFSampler(copy.deepcopy(model), tokenizer)
    outcomes = itertools.cycle([Status.CORRECT, Status.WRONG, Status.WRONG])
    problems = [Problem(str(i), f"What is {i} + {i}?", "") for i in range(PROMPTS)]
    settings = GRPOSettings(
        steps=1, prompts_per_step=PROMPTS, group_size=GROUP, max_completion_length=LONGEST, learning_rate=1e-3,
    )
    lora = LoraConfig(r=32, lora_alpha=64, target_modules="all-linear", task_type="CAUSAL_LM")
    trainer = OnPolicyTrainer(
        get_peft_model(model, lora), settings, problems, lambda completion, gold, **_: Verdict.of(next(outcomes)),
        sampler, accelerator=Accelerator(mixed_precision="bf16", cpu=True),
    )
    began = time.perf_counter()
    metrics = trainer.train_step()
    moved = sum(p.abs().sum().item() for n, p in trainer.trained.items() if "lora_B" in n)
    facts = {
        "parameters": parameters,
        "seconds": time.perf_counter() - began,
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "packs": trainer.own.packs,
        "moved": moved,
        **metrics,
    }
    print("FACTS " + json.dumps(facts))


if __name__ == "__main__":
    main()
"""


@pytest.mark.slow
def test_half_a_billion_weights_go_through_a_step(
    tiny_tokenizer: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """4 groups of 4 completions of up to 32 tokens in bf16: finite loss, a gradient, trainer and sampler agreeing."""
    tiny_tokenizer.save_pretrained(tmp_path / "tokenizer")
    (tmp_path / "script.py").write_text(SCRIPT)

    done = subprocess.run(
        [sys.executable, str(tmp_path / "script.py"), str(tmp_path / "tokenizer"), str(tmp_path / "out")],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "HF_HUB_OFFLINE": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-3000:]
    facts = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("FACTS "))[6:])
    with capsys.disabled():
        print(
            f"\n{facts['parameters'] / 1e6:.0f}M weights: {facts['seconds']:.0f} s, {facts['peak_gib']:.1f} GiB at most"
        )
    assert 450e6 < facts["parameters"] < 550e6
    assert facts["packs"]
    assert facts["status/correct"] == pytest.approx(6 / 16)
    assert facts["grad_norm"] > 0
    assert facts["moved"] > 0
    assert facts["logprob_gap/mean"] < 0.1
    assert facts["peak_gib"] < 8
