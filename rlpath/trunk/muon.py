"""Muon: momentum whose matrix is made orthogonal before it is applied (Jordan et al. 2024, "Muon: an optimizer for
hidden layers in neural networks"; arXiv 2502.16982 for its use at scale).

For a weight matrix of A rows and B columns with gradient G, momentum μ, learning rate η and decay λ:

    M ← μ M + (1-μ) G;   N = μ M + (1-μ) G                       (Nesterov's look ahead)
    O = orthogonalize(N)                                         (U Vᵀ of N = U S Vᵀ, approximately)
    W ← (1 - η λ) W - η √max(1, A/B) O

Adam scales each number of the gradient by itself; Muon scales each direction of the matrix: all singular values become
about one. Five steps of X ← a X + (b X Xᵀ + c (X Xᵀ)²) X do that without a decomposition: on a singular value s the
step is the polynomial a s + b s³ + c s⁵, and its coefficients are chosen for the steepest slope at zero, so that s ends
near 1 (0.7 to 1.2) and not exactly at 1. Embeddings, output and scales stay with AdamW: they are not maps between
hidden layers.

    python -m rlpath.trunk.muon TEXT --minutes 2    # AdamW and Muon at equal time, three seeds
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from rlpath.trunk.gpt import GPT, Shape, TrainingSchedule, adamw, token_stream, tokenizer_for, train

COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def orthogonalize(matrix_A_B: Tensor, steps: int = 5) -> Tensor:
    """The matrix with its singular values moved close to 1, by the quintic Newton-Schulz iteration, in bf16."""
    a, b, c = COEFFICIENTS
    tall = matrix_A_B.shape[0] > matrix_A_B.shape[1]
    x = matrix_A_B.bfloat16()
    x = x.T if tall else x
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(steps):
        gram = x @ x.T
        polynomial = torch.addmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.addmm(x, polynomial, x, beta=a)
    return x.T if tall else x


class Muon(torch.optim.Optimizer):
    """Muon for matrices. Raises ValueError for a parameter that is none."""

    def __init__(
        self, parameters: Iterable[Tensor], lr: float = 0.02, weight_decay: float = 0.1, momentum: float = 0.95
    ) -> None:
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})
        shapes = [tuple(p.shape) for group in self.param_groups for p in group["params"] if p.dim() != 2]
        if shapes:
            raise ValueError(f"Muon is for matrices, not for a parameter of shape {shapes[0]}: give that one to AdamW")

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Move every matrix that has a gradient."""
        if closure is not None:
            raise ValueError("this optimizer takes no closure")
        for group in self.param_groups:
            rate, momentum = group["lr"], group["momentum"]
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                mean = self.state[weight].setdefault("mean", torch.zeros_like(weight))
                mean.lerp_(weight.grad, 1 - momentum)
                update = orthogonalize(weight.grad.lerp(mean, momentum))
                rows, columns = weight.shape
                weight.mul_(1 - rate * group["weight_decay"])
                weight.add_(update, alpha=-rate * math.sqrt(max(1, rows / columns)))


def muon(model: GPT, training: TrainingSchedule) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the blocks, at ten times the learning rate; AdamW for the rest."""
    inside = [p for name, p in model.named_parameters() if name.startswith("blocks.") and p.dim() == 2]
    others = [p for p in model.parameters() if all(p is not matrix for matrix in inside)]
    return [
        Muon(inside, lr=10 * training.learning_rate, weight_decay=training.weight_decay),
        torch.optim.AdamW(others, lr=training.learning_rate, betas=(0.9, 0.95), weight_decay=0.0, fused=True),
    ]


def held_out_loss(model: GPT, tokens: Sequence[int]) -> float:
    """Mean negative log-likelihood (nats a token) of tokens cut into sequences of the model's context."""
    context = model.shape.context
    rows = (len(tokens) - 1) // context
    used = torch.tensor(tokens[: rows * context + 1])
    with torch.inference_mode():
        logits = model(used[:-1].view(rows, context))
    return F.cross_entropy(logits.flatten(0, 1), used[1:]).item()


def steps_in(
    seconds: float, tokens: Sequence[int], shape: Shape, training: TrainingSchedule, optimizers: Optimizers
) -> int:
    """Training steps that fit into a time, from the time of ten steps after one to warm up."""
    batch = training.batch * shape.context
    model = GPT(shape)
    train(model, tokens[: batch + 1], training, optimizers=optimizers)
    start = time.perf_counter()
    train(model, tokens[: 10 * batch + 1], training, optimizers=optimizers)
    return max(1, int(10 * seconds / (time.perf_counter() - start)))


Optimizers = Callable[[GPT, TrainingSchedule], Sequence[torch.optim.Optimizer]]


def main() -> None:
    """Train one small GPT by each optimizer for the same time, over three seeds; print the losses on the last tenth."""
    parser = argparse.ArgumentParser(description="AdamW and Muon on one small GPT, at equal time.")
    parser.add_argument("text", type=Path, help="a text file; its last tenth is held out")
    parser.add_argument("--minutes", type=float, default=2.0, help="of training, for each optimizer and seed")
    arguments = parser.parse_args()
    lines = arguments.text.read_text(encoding="utf-8").splitlines(keepends=True)
    at = len(lines) * 9 // 10
    tokenizer = tokenizer_for(lines[:at], 1024)
    training_tokens = token_stream(tokenizer, ["".join(lines[:at])])
    held_out = token_stream(tokenizer, ["".join(lines[at:])])[:20_000]
    shape = Shape(vocabulary=1024, context=128)
    for name, optimizers in (("AdamW", adamw), ("Muon", muon)):
        for rate in (1e-3, 3e-3):
            training = TrainingSchedule(learning_rate=rate)
            steps = steps_in(60 * arguments.minutes, training_tokens, shape, training, optimizers)
            needed = steps * training.batch * shape.context + 1
            tokens = (training_tokens * (1 + needed // len(training_tokens)))[:needed]
            losses = []
            for seed in range(3):
                model = GPT(shape, seed)
                train(model, tokens, training, optimizers=optimizers)
                losses.append(held_out_loss(model, held_out))
            figures = "  ".join(f"{loss:.3f}" for loss in losses)
            print(f"{name:6} rate {rate:.0e}  {steps:5d} steps  held-out loss {figures}", flush=True)


if __name__ == "__main__":
    main()
