"""A small language model, whole in this file: its byte-pair tokenizer, a transformer as Llama has it, and its training.

RMSNorm before each part, rotary positions, grouped queries, SwiGLU, no biases, the output tied to the embedding (arXiv
2302.13971, 2104.09864, 2305.13245). With the same weights it gives the same logits as transformers' Llama. With a
`Cache` of keys and values, tokens given one by one get the logits that they get together. Shapes: B sequences, T
tokens, D width, H heads, G key-value heads (G divides H), K = D / H, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor, nn
from torch.nn import functional as F

from rlpath.core.seeding import derive

END = "<|end|>"


def tokenizer_for(documents: Sequence[str], vocabulary: int, *, digits: bool = False) -> Tokenizer:
    """A byte-level BPE tokenizer trained on the documents; the token `END` closes each of them.

    With `digits` every digit is a token of its own, so that numbers of one length are cut alike.
    """
    tokenizer = Tokenizer(models.BPE())
    words = pre_tokenizers.ByteLevel(add_prefix_space=False)
    cut = pre_tokenizers.Digits(individual_digits=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([cut, words]) if digits else words
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=[END], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(dict.fromkeys(documents), trainer)
    return tokenizer


def token_stream(tokenizer: Tokenizer, documents: Sequence[str]) -> list[int]:
    """All documents as one stream of tokens, each closed by `END`."""
    (end,) = tokenizer.encode(END).ids
    return [token for encoded in tokenizer.encode_batch(list(documents)) for token in (*encoded.ids, end)]


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of a model; `context` is the longest sequence in training, `kv_heads` is `heads` unless given."""

    vocabulary: int = 2048
    width: int = 128
    layers: int = 4
    heads: int = 4
    hidden: int = 352
    context: int = 256
    kv_heads: int | None = None
    rope_base: float = 10_000.0
    epsilon: float = 1e-5


class RMSNorm(nn.Module):
    """x / rms(x), times a learned scale (arXiv 1910.07467)."""

    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x_B_T_D: Tensor) -> Tensor:
        return self.scale * x_B_T_D * torch.rsqrt(x_B_T_D.pow(2).mean(-1, keepdim=True) + self.epsilon)


def rotate(x_B_H_T_K: Tensor, cos_T_K: Tensor, sin_T_K: Tensor) -> Tensor:
    """Turn each pair (i, i + K/2) of a head by an angle that grows with the position."""
    first, second = x_B_H_T_K.chunk(2, dim=-1)
    return x_B_H_T_K * cos_T_K + torch.cat((-second, first), dim=-1) * sin_T_K


@dataclass(slots=True)
class Cache:
    """Keys and values of the tokens read so far, a pair a layer, each B by G by T by K."""

    keys: list[Tensor]
    values: list[Tensor]

    @classmethod
    def empty(cls, shape: Shape, batch: int) -> Cache:
        """Nothing read yet."""
        none = torch.empty(batch, shape.kv_heads or shape.heads, 0, shape.width // shape.heads)
        return cls([none] * shape.layers, [none] * shape.layers)

    @property
    def length(self) -> int:
        """Tokens read."""
        return self.keys[0].shape[2]

    def extend(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Keep new keys and values of a layer; all of them so far."""
        self.keys[layer] = torch.cat((self.keys[layer], key), dim=2)
        self.values[layer] = torch.cat((self.values[layer], value), dim=2)
        return self.keys[layer], self.values[layer]


class Attention(nn.Module):
    """Causal attention with rotary positions; G key-value heads serve H / G query heads each."""

    def __init__(self, shape: Shape, layer: int) -> None:
        super().__init__()
        self.layer, self.heads, self.kv_heads = layer, shape.heads, shape.kv_heads or shape.heads
        inner = self.kv_heads * (shape.width // shape.heads)
        self.query = nn.Linear(shape.width, shape.width, bias=False)
        self.key = nn.Linear(shape.width, inner, bias=False)
        self.value = nn.Linear(shape.width, inner, bias=False)
        self.out = nn.Linear(shape.width, shape.width, bias=False)

    def forward(self, x_B_T_D: Tensor, cos: Tensor, sin: Tensor, cache: Cache | None) -> Tensor:
        query = self.query(x_B_T_D).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        key, value = (
            part(x_B_T_D).unflatten(-1, (self.kv_heads, -1)).transpose(1, 2) for part in (self.key, self.value)
        )
        query, key = rotate(query, cos, sin), rotate(key, cos, sin)
        new = query.shape[2]
        if cache is not None:
            key, value = cache.extend(self.layer, key, value)
        key, value = (part.repeat_interleave(self.heads // self.kv_heads, dim=1) for part in (key, value))
        if new == key.shape[2]:
            mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        else:
            # New token i sees everything that was read before it, and itself.
            sees = torch.ones(new, key.shape[2], dtype=torch.bool).tril(key.shape[2] - new)
            mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=sees)
        return self.out(mixed.transpose(1, 2).flatten(2))


class TransformerBlock(nn.Module):
    """Attention, then SwiGLU, each on the normalized stream and added to it."""

    def __init__(self, shape: Shape, layer: int) -> None:
        super().__init__()
        self.before_attention = RMSNorm(shape.width, shape.epsilon)
        self.attention = Attention(shape, layer)
        self.before_mlp = RMSNorm(shape.width, shape.epsilon)
        self.gate = nn.Linear(shape.width, shape.hidden, bias=False)
        self.up = nn.Linear(shape.width, shape.hidden, bias=False)
        self.down = nn.Linear(shape.hidden, shape.width, bias=False)

    def forward(self, x_B_T_D: Tensor, cos: Tensor, sin: Tensor, cache: Cache | None) -> Tensor:
        x = x_B_T_D + self.attention(self.before_attention(x_B_T_D), cos, sin, cache)
        y = self.before_mlp(x)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))


class GPT(nn.Module):
    """The model: token ids to logits of the next token at every position."""

    def __init__(self, shape: Shape, seed: int = 0) -> None:
        super().__init__()
        self.shape = shape
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(seed, "weights"))
            self.embedding = nn.Embedding(shape.vocabulary, shape.width)
            self.blocks = nn.ModuleList(TransformerBlock(shape, layer) for layer in range(shape.layers))
            self.norm = RMSNorm(shape.width, shape.epsilon)
            for name, parameter in self.named_parameters():
                if parameter.dim() == 2:
                    # What is added to the stream starts smaller, so that its variance does not grow with depth.
                    deep = name.endswith(("out.weight", "down.weight"))
                    nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * shape.layers) if deep else 0.02)

    def forward(self, ids_B_T: Tensor, cache: Cache | None = None) -> Tensor:
        """Logits, B by T by V; with a cache, of tokens that follow those it holds, which then holds them too."""
        half = self.shape.width // self.shape.heads // 2
        frequency = self.shape.rope_base ** (-torch.arange(half, device=ids_B_T.device) / half)
        read = 0 if cache is None else cache.length
        position = torch.arange(read, read + ids_B_T.shape[1], device=ids_B_T.device)
        angle = position[:, None] * frequency.repeat(2)
        cos, sin = angle.cos(), angle.sin()
        x = self.embedding(ids_B_T)
        for block in self.blocks:
            x = block(x, cos, sin, cache)
        return self.norm(x) @ self.embedding.weight.T

    @property
    def parameter_count(self) -> int:
        """Number of parameters, the tied embedding once."""
        return sum(parameter.numel() for parameter in self.parameters())


@dataclass(frozen=True, slots=True)
class TrainingSchedule:
    """One pass over the tokens, with linear warm-up and a cosine down to a tenth of the learning rate."""

    batch: int = 8
    learning_rate: float = 2e-3
    warmup: int = 50
    weight_decay: float = 0.1


def adamw(model: GPT, training: TrainingSchedule) -> list[torch.optim.Optimizer]:
    """AdamW; the norms' scales are not decayed."""
    matrices = [parameter for parameter in model.parameters() if parameter.dim() == 2]
    scales = [parameter for parameter in model.parameters() if parameter.dim() < 2]
    groups = [{"params": matrices, "weight_decay": training.weight_decay}, {"params": scales, "weight_decay": 0.0}]
    return [torch.optim.AdamW(groups, lr=training.learning_rate, betas=(0.9, 0.95), fused=True)]


def train(
    model: GPT,
    tokens: Sequence[int],
    training: TrainingSchedule,
    progress: Callable[[int, int, float], None] | None = None,
    optimizers: Callable[[GPT, TrainingSchedule], Sequence[torch.optim.Optimizer]] = adamw,
) -> list[float]:
    """Train on `tokens` once, in order, cut into sequences of the model's context; the loss (nats) of every step.

    `progress` is told step, steps and loss. The tokens left over after the last whole batch are not used. Every
    optimizer's own learning rates are what the schedule multiplies.
    """
    context = model.shape.context
    steps = (len(tokens) - 1) // (context * training.batch)
    used = torch.tensor(tokens[: steps * training.batch * context + 1])
    inputs = used[:-1].view(steps, training.batch, context)
    targets = used[1:].view(steps, training.batch, context)
    parts = optimizers(model, training)
    groups = [(group, group["lr"]) for part in parts for group in part.param_groups]
    losses = []
    model.train()
    for step in range(steps):
        for group, highest in groups:
            group["lr"] = highest * _schedule(step, steps, training.warmup)
        loss = F.cross_entropy(model(inputs[step]).flatten(0, 1), targets[step].flatten())
        model.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for part in parts:
            part.step()
        losses.append(loss.item())
        if progress is not None:
            progress(step + 1, steps, losses[-1])
    model.eval()
    return losses


def _schedule(step: int, steps: int, warmup: int) -> float:
    """Share of the learning rate at a step."""
    warm = min(1.0, (step + 1) / min(warmup, max(1, steps // 10)))
    return warm * (0.1 + 0.9 * (1 + math.cos(math.pi * step / steps)) / 2)
