"""What a GRPO experiment will take: memory from its parts, minutes from measured rates, before anything is loaded.

Memory is summed over the parts that are held at the peak, the backward pass of one forward of `micro_batch`
completions, all of which run to the length limit. Minutes likewise assume full-length completions, so both are upper
ends. The activation term was fitted to what autograd keeps (see `ACTIVATIONS`); CPU rates were measured on two cores of
a Xeon with AMX; GPU rates are assumptions and only give the order of magnitude.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rlpath.core.files import read_json
from rlpath.runs.hardware import GIB, Hardware


class RunSettings(Protocol):
    """The fields of a recipe's settings that an estimate needs."""

    @property
    def model(self) -> str: ...
    @property
    def steps(self) -> int: ...
    @property
    def prompts_per_step(self) -> int: ...
    @property
    def group_size(self) -> int: ...
    @property
    def micro_batch(self) -> int: ...
    @property
    def max_completion_length(self) -> int: ...
    @property
    def lora_rank(self) -> int: ...
    @property
    def gradient_checkpointing(self) -> bool: ...
    @property
    def gpu_memory(self) -> float: ...
    @property
    def eval_problems(self) -> int: ...
    @property
    def eval_samples(self) -> int: ...


@dataclass(frozen=True, slots=True)
class ModelShape:
    """The sizes of a Llama-like model (Qwen2 has biases on q, k and v)."""

    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    vocabulary: int
    tied: bool = True
    qkv_bias: bool = False
    head_size: int = 0
    """numbers in one head; 0: hidden / heads"""

    @property
    def kv_width(self) -> int:
        """Numbers in one token's keys of one layer."""
        return self.kv_heads * (self.head_size or self.hidden // self.heads)

    @property
    def query_width(self) -> int:
        """Numbers in one token's queries of one layer, which need not be `hidden` (Qwen3)."""
        return self.heads * (self.head_size or self.hidden // self.heads)

    @property
    def parameters(self) -> int:
        """Parameters of the whole model, tied embeddings counted once."""
        attention = 2 * self.hidden * (self.query_width + self.kv_width)
        bias = (self.query_width + 2 * self.kv_width) * self.qkv_bias
        layer = attention + bias + 3 * self.hidden * self.intermediate + 2 * self.hidden
        embeddings = self.vocabulary * self.hidden * (1 if self.tied else 2)
        return embeddings + self.layers * layer + self.hidden

    def lora_parameters(self, rank: int) -> int:
        """Parameters of an adapter of `rank` on all linear layers: rank · (inputs + outputs) of each (2106.09685)."""
        attention = 2 * (self.hidden + self.query_width) + 2 * (self.hidden + self.kv_width)
        return self.layers * rank * (attention + 3 * (self.hidden + self.intermediate))


SHAPES = {
    "smollm2-135m-instruct": ModelShape(576, 1536, 30, 9, 3, 49152),
    "qwen2.5-coder-0.5b-instruct": ModelShape(896, 4864, 24, 14, 2, 151936, qkv_bias=True),
    "qwen2.5-coder-1.5b-instruct": ModelShape(1536, 8960, 28, 12, 2, 151936, qkv_bias=True),
}
SHAPES |= {
    f"Qwen/Qwen2.5-{kind}{size}-Instruct": SHAPES[f"qwen2.5-coder-{size.lower()}-instruct"]
    for kind in ("", "Coder-")
    for size in ("0.5B", "1.5B")
}

ACTIVATIONS = (28, 8)
"""Bytes autograd keeps for each token and layer under bf16 autocast with LoRA on all linear layers: 28 · hidden + 8 ·
intermediate. A test counts them with saved-tensor hooks."""
PROMPT_TOKENS = 128
LOGIT_CHUNK = 512
PROCESS = int(1.5 * GIB)
"""Python, torch, TRL and their like on a CPU; the CUDA context and its allocator's slack on a GPU."""
USABLE = 0.92
"""Share of a machine's memory that an experiment may fill."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes held at the peak, by what they are for."""

    weights: int
    optimizer: int
    activations: int
    logits: int
    sampler: int
    process: int = PROCESS

    @property
    def total(self) -> int:
        """Bytes in all."""
        return self.weights + self.optimizer + self.activations + self.logits + self.sampler + self.process


def shape_of(model: str) -> ModelShape | None:
    """The shape of a known model, or of a local folder by its config; None for any other name."""
    config_file = Path(model).expanduser() / "config.json"
    if model in SHAPES or not config_file.is_file():
        return SHAPES.get(model)
    config = read_json(config_file)
    heads = config["num_attention_heads"]
    return ModelShape(
        hidden=config["hidden_size"],
        intermediate=config["intermediate_size"],
        layers=config["num_hidden_layers"],
        heads=heads,
        kv_heads=config.get("num_key_value_heads", heads),
        vocabulary=config["vocab_size"],
        tied=config.get("tie_word_embeddings", False),
        qkv_bias=config.get("model_type") == "qwen2",
        head_size=config.get("head_dim") or 0,
    )


def memory(settings: RunSettings, shape: ModelShape, *, gpu_memory: int | None, bf16: bool = True) -> Memory:
    """Bytes that one process needs; `gpu_memory` is its GPU's memory in bytes, None on a CPU.

    LoRA: base weights in the compute type; adapter, gradient and two Adam moments in fp32, and autocast's bf16 copy of
    the adapter. Full fine-tuning: the same of all weights. The sampler has its own copy of the weights and a key-value
    cache; vLLM on a GPU takes a fixed share instead.
    """
    width = 2 if bf16 else 4
    count = shape.parameters
    adapter = shape.lora_parameters(settings.lora_rank)
    completions = settings.prompts_per_step * settings.group_size
    cache = 2 * shape.layers * shape.kv_width * width * completions * (PROMPT_TOKENS + settings.max_completion_length)
    share = int(settings.gpu_memory * gpu_memory) if gpu_memory else 0
    return Memory(
        weights=count * (width if adapter else 4 + 2 * bf16),
        optimizer=18 * adapter if adapter else 12 * count,
        activations=_activations(settings, shape) * (1 if bf16 else 2),
        logits=LOGIT_CHUNK * shape.vocabulary * (width + 8),
        sampler=max(share, count * width + cache),
    )


def _activations(settings: RunSettings, shape: ModelShape) -> int:
    completions = min(settings.micro_batch, settings.prompts_per_step * settings.group_size)
    block = PROMPT_TOKENS + min(completions, settings.group_size) * settings.max_completion_length
    tokens = -(-completions // settings.group_size) * PROMPT_TOKENS + completions * settings.max_completion_length
    layer = ACTIVATIONS[0] * shape.hidden + ACTIVATIONS[1] * shape.intermediate
    # Checkpointed, each layer keeps its input, and one layer at a time is held in full.
    kept = 2 * shape.hidden * shape.layers + layer if settings.gradient_checkpointing else layer * shape.layers
    # The block mask: one boolean and one bf16 number for each pair of positions in a block.
    return tokens * kept + tokens * block * 3


@dataclass(frozen=True, slots=True)
class Rates:
    """Floating-point operations a second that are reached in training and in sampling."""

    training: float
    sampling: float


CPU_CORE = Rates(training=0.13e12, sampling=0.088e12)
"""One core with bf16 matrix units. Two cores took 3.9 s for forward and backward of 1,896 packed tokens of the 135M
model, and sampled 650 tokens a second."""
WITHOUT_BF16 = 0.47
"""Measured: 260 against 560 trained tokens a second."""
SMALL_GPU = Rates(training=30e12, sampling=4e12)
LARGE_GPU = Rates(training=120e12, sampling=15e12)


def rates(hardware: Hardware, *, bf16: bool = True) -> Rates:
    """What this machine reaches, roughly."""
    if hardware.gpus:
        return LARGE_GPU if hardware.gpus[0].memory > 70 * GIB else SMALL_GPU
    scale = hardware.cores * (1.0 if bf16 else WITHOUT_BF16)
    return Rates(CPU_CORE.training * scale, CPU_CORE.sampling * scale)


def minutes(settings: RunSettings, shape: ModelShape, speed: Rates) -> float:
    """Minutes for training and both evaluations, every completion as long as the limit allows.

    A forward costs two operations a parameter and token, the backward through frozen weights two more, the gradient of
    trained weights another two.
    """
    count = shape.parameters
    completions = settings.prompts_per_step * settings.group_size
    sampled = completions * settings.max_completion_length
    trained = settings.prompts_per_step * PROMPT_TOKENS + sampled
    evaluated = 2 * settings.eval_problems * (1 + settings.eval_samples) * settings.max_completion_length
    training = settings.steps * trained * count * (4 if settings.lora_rank else 6)
    sampling = (settings.steps * sampled + evaluated) * count * 2
    return (training / speed.training + sampling / speed.sampling) / 60
