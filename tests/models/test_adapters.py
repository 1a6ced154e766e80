"""An adapter of any kind, named as a model, gives PEFT's answers to an evaluation, a recipe and a sampler, or none."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, PromptTuningConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from rlpath.core.errors import InputError
from rlpath.core.types import Decoding
from rlpath.evals.suite.subject import LazySampler, resolve_subject
from rlpath.models.load import load_model, load_tokenizer, resolve_model
from rlpath.models.rollouts import load_sampler

LINEAR = {"target_modules": ["q_proj", "down_proj"]}
KINDS: dict[str, dict[str, Any]] = {
    "plain": LINEAR,
    "all-linear": {"target_modules": "all-linear"},
    "rslora": {**LINEAR, "use_rslora": True},
    "patterns": {**LINEAR, "rank_pattern": {"q_proj": 2}, "alpha_pattern": {"down_proj": 32}},
    "dora": {**LINEAR, "use_dora": True},
    "lora_bias": {"target_modules": ["q_proj", "o_proj"], "lora_bias": True},
    "bias": {**LINEAR, "bias": "all"},
    "modules_to_save": {**LINEAR, "modules_to_save": ["norm", "gate_proj"]},
    "head to save": {**LINEAR, "modules_to_save": ["lm_head"]},
    "embeddings to save": {**LINEAR, "modules_to_save": ["embed_tokens"]},
    "head": {"target_modules": ["q_proj", "lm_head"]},
    "embeddings": {"target_modules": ["q_proj", "embed_tokens"]},
    "tied embeddings": {"target_modules": ["q_proj", "embed_tokens"], "ensure_weight_tying": True},
    "tokens": {**LINEAR, "trainable_token_indices": [5, 200]},
    "parameters": {"target_modules": [], "target_parameters": ["q_proj.weight", "up_proj.weight"]},
    "pissa": {**LINEAR, "init_lora_weights": "pissa"},
    "olora": {**LINEAR, "init_lora_weights": "olora"},
}
TIED, UNTIED = "tied", "untied"


def shaken(policy: Any) -> Any:
    """Every adapted or trainable parameter moved at random, as training would."""
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in policy.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.2)
    return policy.eval()


@pytest.fixture(scope="module", params=[TIED, UNTIED])
def base(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    tiny_model: Callable[..., Any],
    tiny_tokenizer: Any,
) -> Path:
    """A tiny model in fp32, with and without an output layer of its own, whose layers have biases."""
    folder = tmp_path_factory.mktemp(request.param)
    tiny_model(seed=4, tie_word_embeddings=request.param == TIED, attention_bias=True).save_pretrained(folder)
    tiny_tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def saved(base: Path, tmp_path: Path) -> Callable[..., Path]:
    """`saved(**settings)`: the folder of a random adapter, saved by PEFT as trainers do."""

    def save(**settings: Any) -> Path:
        torch.manual_seed(1)
        config = LoraConfig(r=4, lora_alpha=8, task_type="CAUSAL_LM", **settings)
        policy = shaken(get_peft_model(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), config))
        policy.save_pretrained(str(tmp_path / "adapter"))
        return tmp_path / "adapter"

    return save


IDS = torch.tensor([[5, 9, 40, 200, 7, 3, 77, 120]])


def logits(model: Any) -> torch.Tensor:
    """Of a few tokens, the rare ones among them."""
    with torch.no_grad():
        return model(input_ids=IDS).logits


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_adapter_answers_as_in_peft(
    kind: str, base: Path, saved: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an evaluation samples, a recipe trains and a sampler loads has PEFT's logits, not the base's."""
    monkeypatch.setenv("RLPATH_CACHE", str(tmp_path / "cache"))
    adapter = saved(**KINDS[kind])
    plain: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    start = logits(plain.eval())
    torch.manual_seed(0)
    wanted = logits(PeftModel.from_pretrained(plain, str(adapter)).eval())
    assert (wanted - start).abs().max() > 0.1

    recipe = load_model(resolve_model(str(adapter)), "float32").eval()
    sampler: Any = load_sampler("hf", resolve_model(str(adapter)), max_length=64, dtype="float32")
    subject = resolve_subject(str(adapter))
    evaluated = LazySampler(subject, "hf", max_length=64, dtype="float32")
    evaluated.generate([[5]], Decoding(1, temperature=0.0))
    loaded: Any = evaluated._loaded

    for found in (recipe, sampler.model, loaded.model):
        torch.testing.assert_close(logits(found), wanted, rtol=1e-4, atol=1e-4)
    assert subject.adapter == adapter
    assert load_tokenizer(subject.path).chat_template


@pytest.mark.filterwarnings("ignore")
def test_an_adapter_of_a_base_stored_in_bf16_merges(
    saved: Callable[..., Path], base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Storing in bf16 rounds the weights alone, not the rotary frequencies that the check compares by."""
    monkeypatch.setenv("RLPATH_CACHE", str(tmp_path / "cache"))
    adapter, stored = saved(**LINEAR), tmp_path / "base"
    shutil.copytree(base, stored)
    AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16).save_pretrained(stored)
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": str(stored)}))

    assert load_model(resolve_model(str(adapter)), "auto").dtype == torch.bfloat16


def rewritten(adapter: Path, rename: Callable[[str], str]) -> None:
    """Give the tensors of an adapter other names."""
    file = adapter / "adapter_model.safetensors"
    save_file({rename(name): value for name, value in load_file(file).items()}, file)


def resolvers() -> tuple[Callable[[str], Any], ...]:
    """How a recipe, a sampler and an evaluation come by a model."""
    return resolve_model, lambda name: load_sampler("hf", resolve_model(name), max_length=8), resolve_subject


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("base_model.model.", "", "have no place in its base, first model.layers"),
        ("base_model.model.", "base_model.model.language_model.", "no such layer"),
        ("base_model.model.", "module.base_model.model.", "no such layer"),
        (".lora_A.weight", ".lora_A.default.weight", "have no place in its base"),
        ("layers.1.self_attn.q_proj", "layers.1.self_attn.v_proj", "q_proj|no place|no such layer|belongs to another"),
    ],
)
def test_tensors_under_other_names_are_refused(
    saved: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    old: str,
    new: str,
    words: str,
) -> None:
    """PEFT passes over what it does not know, and would answer as the base; here it is an error."""
    monkeypatch.setenv("RLPATH_CACHE", str(tmp_path / "cache"))
    adapter = saved(**LINEAR)
    rewritten(adapter, lambda name: name.replace(old, new))
    for resolve in resolvers():
        with pytest.raises(InputError, match=words):
            resolve(str(adapter))


@pytest.mark.filterwarnings("ignore")
def test_what_cannot_be_merged_is_refused(
    base: Path, saved: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A prompt, a quantized base, missing tensors, a model and an adapter in one folder: one sentence each."""
    monkeypatch.setenv("RLPATH_CACHE", str(tmp_path / "cache"))
    prompt = tmp_path / "prompt"
    model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    get_peft_model(model, PromptTuningConfig(num_virtual_tokens=2, task_type="CAUSAL_LM")).save_pretrained(str(prompt))
    adapter = saved(**LINEAR)
    quantized = tmp_path / "quantized"
    model.save_pretrained(quantized)
    config = json.loads((quantized / "config.json").read_text())
    (quantized / "config.json").write_text(json.dumps({**config, "quantization_config": {"quant_method": "gptq"}}))

    def with_config(**changes: Any) -> Path:
        described = json.loads((adapter / "adapter_config.json").read_text())
        (adapter / "adapter_config.json").write_text(json.dumps({**described, **changes}))
        return adapter

    both = tmp_path / "both"
    model.save_pretrained(both)
    (both / "adapter_config.json").write_text("{}")
    for resolve in resolvers():
        with pytest.raises(InputError, match="PROMPT_TUNING, which has no weights"):
            resolve(str(prompt))
        with pytest.raises(InputError, match="is quantized"):
            resolve(str(with_config(base_model_name_or_path=str(quantized))))
        with pytest.raises(InputError, match="cannot be merged into its base"):
            resolve(str(with_config(base_model_name_or_path=str(base), modules_to_save=["norm"])))
        with pytest.raises(InputError, match="holds an adapter and the weights of a model"):
            resolve(str(both))
        with_config(modules_to_save=None)
    with pytest.raises(InputError, match="holds an adapter, not a model"):
        load_model(adapter)


@pytest.mark.filterwarnings("ignore")
def test_a_merge_that_differs_from_peft_is_refused(
    saved: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong while merging, logits tell; nothing is left that a later call would take."""
    monkeypatch.setenv("RLPATH_CACHE", str(tmp_path / "cache"))
    adapter = saved(**LINEAR)
    monkeypatch.setattr("rlpath.models.weights.merged_weight", lambda layer: layer.get_base_layer().weight)
    with pytest.raises(InputError, match="gives other logits than beside it"):
        resolve_model(str(adapter))
    monkeypatch.undo()
    monkeypatch.setenv("RLPATH_CACHE", str(tmp_path / "cache"))
    assert resolve_model(str(adapter)).is_dir()


@pytest.mark.filterwarnings("ignore")
def test_other_weights_may_lie_beside_an_adapter(
    saved: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PPO keeps its value head there."""
    monkeypatch.setenv("RLPATH_CACHE", str(tmp_path / "cache"))
    adapter = saved(**LINEAR)
    save_file({"weight": torch.zeros(1)}, adapter / "value_head.safetensors")
    assert resolve_subject(str(adapter)).adapter == adapter
