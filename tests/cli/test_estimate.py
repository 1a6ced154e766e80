"""Estimates agree with parameter counts, with what autograd keeps, and with sums done by hand."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from peft import LoraConfig, get_peft_model

from rlpath.cli.estimate import ACTIVATIONS, SHAPES, ModelShape, Rates, memory, minutes, rates, shape_of
from rlpath.runs.hardware import GIB, Gpu, Hardware


@dataclass(frozen=True)
class Settings:
    model: str = "smollm2-135m-instruct"
    steps: int = 10
    prompts_per_step: int = 8
    group_size: int = 8
    micro_batch: int = 64
    max_completion_length: int = 24
    lora_rank: int = 32
    gradient_checkpointing: bool = False
    gpu_memory: float = 0.3
    eval_problems: int = 100
    eval_samples: int = 8


TINY = ModelShape(hidden=4, intermediate=8, layers=2, heads=2, kv_heads=1, vocabulary=10)


@pytest.mark.parametrize(
    ("model", "parameters"),
    [
        ("smollm2-135m-instruct", 134_515_008),
        ("Qwen/Qwen2.5-0.5B-Instruct", 494_032_768),
        ("Qwen/Qwen2.5-1.5B-Instruct", 1_543_714_304),
    ],
)
def test_shapes_have_the_published_parameter_counts(model: str, parameters: int) -> None:
    """To the last parameter."""
    assert SHAPES[model].parameters == parameters


def test_an_adapter_on_all_linear_layers_is_counted_as_peft_counts_it() -> None:
    """PEFT reports 9,768,960 trainable parameters for rank 32 on the 135M model."""
    assert SHAPES["smollm2-135m-instruct"].lora_parameters(32) == 9_768_960
    assert SHAPES["smollm2-135m-instruct"].lora_parameters(0) == 0


def test_the_shape_of_a_folder_is_read_from_its_config(tmp_path: Path) -> None:
    """A local model is estimated like a known one; an unknown name is not guessed."""
    config = {
        "hidden_size": 4,
        "intermediate_size": 8,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "vocab_size": 10,
        "tie_word_embeddings": True,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))

    assert shape_of(str(tmp_path)) == TINY
    assert shape_of("nobody/nothing") is None


def test_memory_is_the_sum_worked_by_hand() -> None:
    """Two groups of two completions of 6 tokens, LoRA of rank 1, on a CPU with bf16."""
    settings = Settings(
        prompts_per_step=2, group_size=2, micro_batch=2, max_completion_length=6, lora_rank=1, eval_problems=1
    )
    found = memory(settings, TINY, gpu_memory=None)

    # Embeddings 40; a layer: q and o 32, k and v 16, mlp 96, norms 8; final norm 4.
    parameters = 40 + 2 * 152 + 4
    # Inputs + outputs of a layer: q and o 8 each, k and v 6 each, three of 12.
    adapter = 2 * (8 + 8 + 6 + 6 + 36)
    # One group a forward: 128 prompt tokens and 12 of completions; the mask is 140 by 140.
    activations = 140 * 2 * (28 * 4 + 8 * 8) + 140 * 140 * 3
    # Keys and values of 2 numbers in 2 layers for 4 sequences of 134.
    cache = 2 * 2 * 2 * 2 * 4 * 134
    assert TINY.parameters == parameters
    assert found.weights == 2 * parameters
    assert found.optimizer == 18 * adapter
    assert found.activations == activations
    assert found.logits == 512 * 10 * 10
    assert found.sampler == 2 * parameters + cache
    assert found.total == sum((found.weights, found.optimizer, activations, found.logits, found.sampler, found.process))


def test_full_fine_tuning_holds_everything_in_fp32() -> None:
    """Weights 4 bytes and autocast's copy 2, gradient 4, two moments 8."""
    found = memory(Settings(lora_rank=0), TINY, gpu_memory=None)

    assert (found.weights, found.optimizer) == (6 * TINY.parameters, 12 * TINY.parameters)


def test_vllm_takes_its_share_of_the_gpu() -> None:
    """0.3 of 24 GiB, whatever the model needs below that."""
    assert memory(Settings(), TINY, gpu_memory=24 * GIB).sampler == int(0.3 * 24 * GIB)


def test_checkpointing_and_small_forwards_save_memory() -> None:
    """The two remedies that the doctor names do what it says."""
    shape = SHAPES["smollm2-135m-instruct"]
    plain = memory(Settings(), shape, gpu_memory=None).activations

    assert memory(replace(Settings(), micro_batch=8), shape, gpu_memory=None).activations == plain / 8
    assert memory(replace(Settings(), gradient_checkpointing=True), shape, gpu_memory=None).activations < plain / 10


def test_activations_agree_with_what_autograd_keeps() -> None:
    """A random model of Qwen2.5-0.5B's width with 3 layers, LoRA, bf16 autocast: within 5 %."""
    torch = pytest.importorskip("torch")
    peft = pytest.importorskip("peft")
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 896, "intermediate_size": 4864, "num_attention_heads": 14, "num_key_value_heads": 2}
    config = transformers.Qwen2Config(**sizes, num_hidden_layers=3, vocab_size=8)
    base = transformers.Qwen2ForCausalLM(config).to(torch.bfloat16)
    model = peft.get_peft_model(base, peft.LoraConfig(r=32, target_modules="all-linear"))
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, int] = {}

    def count(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    tokens = 64
    ids = torch.zeros((1, tokens), dtype=torch.long)
    hooks = torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor)
    with hooks, torch.autocast("cpu", torch.bfloat16):
        output = model.get_base_model().model(input_ids=ids)

    adapter = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    # Autocast's bf16 copy of the adapter is kept too; `memory` counts it with the optimizer.
    estimated = tokens * 3 * (ACTIVATIONS[0] * 896 + ACTIVATIONS[1] * 4864) + 2 * adapter
    assert output.last_hidden_state.requires_grad
    assert sum(kept.values()) == pytest.approx(estimated, rel=0.05)


def test_minutes_are_the_sum_worked_by_hand() -> None:
    """10 steps of 64 completions of 24 tokens and 8 prompts of 128, then 2 · 100 · 9 completions evaluated."""
    trained = 10 * (8 * 128 + 64 * 24) * 348 * 4
    sampled = (10 * 64 * 24 + 2 * 100 * 9 * 24) * 348 * 2

    assert TINY.parameters == 348
    expected = (trained / 1e6 + sampled / 1e5) / 60
    assert minutes(Settings(), TINY, Rates(1e6, 1e5)) == pytest.approx(expected)


def test_rates_follow_the_hardware() -> None:
    """Twice the cores, twice the rate; no bf16 units, about half; a large GPU beats a small one."""
    two, four = (Hardware("any", cores, 16 * GIB, ()) for cores in (2, 4))
    small, large = (Hardware("any", 8, 64 * GIB, (Gpu("any", size * GIB),)) for size in (24, 80))

    assert rates(four).training == 2 * rates(two).training
    assert rates(two, bf16=False).sampling < rates(two).sampling / 2
    assert rates(large).training > rates(small).training > rates(four).training


def test_heads_need_not_divide_the_hidden_size(tiny_model: Callable[..., Any], tmp_path: Path) -> None:
    """Qwen3 with heads of 16 on a hidden size of 32: parameters as counted, but for the norms of its heads."""
    model = tiny_model("qwen3")
    model.save_pretrained(tmp_path)
    shape = shape_of(str(tmp_path))

    assert shape is not None and (shape.query_width, shape.kv_width) == (64, 32)
    norms = 2 * 2 * 16
    assert shape.parameters == model.num_parameters() - norms
    adapted = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
    assert shape.lora_parameters(4) == sum(p.numel() for p in adapted.parameters() if p.requires_grad)
