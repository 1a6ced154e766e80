"""Log-probabilities of given tokens without ever holding the logits of all of them.

The vocabulary projection runs in the model's own precision (bf16 matrix units), its log-sum-exp in fp32, a chunk of
tokens at a time. Where the output matrix is frozen (LoRA), the gradient of a token's log-probability with respect to
its hidden state does not depend on anything that comes later, so it is computed along with the value and nothing is
projected a second time: d log p(y) / d h = W[y] − Σ_v p(v) W[v].
"""

from __future__ import annotations

from typing import Any

import torch


def token_logprobs(
    hidden_N_H: torch.Tensor,
    weight_V_H: torch.Tensor,
    target_N: torch.Tensor,
    *,
    temperature: float = 1.0,
    chunk: int = 512,
    entropy_gradient: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probability of each target token [N], fp32, and the entropy in nats of the distribution it came from [N].

    Logits are `hidden @ weight.T / temperature`. The log-probability is differentiable in both inputs, the entropy
    where `entropy_gradient` asks for it (a further product with the vocabulary).
    """
    needs_weight = weight_V_H.requires_grad and torch.is_grad_enabled()
    logprob_N, entropy_N = _TokenLogprobs.apply(
        hidden_N_H, weight_V_H, target_N, temperature, chunk, needs_weight, entropy_gradient
    )
    return logprob_N, entropy_N


class _TokenLogprobs(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        target: torch.Tensor,
        temperature: float,
        chunk: int,
        needs_weight: bool,
        entropy_gradient: bool,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        logprob = torch.empty(len(target), dtype=torch.float32, device=hidden.device)
        entropy = torch.empty_like(logprob)
        slope = torch.empty_like(hidden) if hidden.requires_grad and not needs_weight else None
        entropy_slope = torch.empty_like(hidden) if slope is not None and entropy_gradient else None
        for start in range(0, len(target), chunk):
            part = slice(start, start + chunk)
            logits = _logits(hidden[part], weight, temperature)
            total = logits.logsumexp(-1)
            logprob[part] = logits.gather(-1, target[part, None])[:, 0] - total
            probs = (logits - total[:, None]).exp_()
            entropy[part] = total - torch.linalg.vecdot(probs, logits)
            if slope is not None:
                slope[part] = (weight[target[part]] - probs.to(weight.dtype) @ weight) / temperature
            if entropy_slope is not None:
                entropy_slope[part] = _entropy_slope(probs, logits, total, entropy[part]).to(weight.dtype) @ weight
                entropy_slope[part] /= temperature
        if not entropy_gradient:
            ctx.mark_non_differentiable(entropy)
        ctx.settings = (temperature, chunk, needs_weight, entropy_gradient)
        ctx.save_for_backward(slope, entropy_slope, *((hidden, weight, target) if needs_weight else ()))
        return logprob, entropy

    @staticmethod
    def backward(ctx: Any, *upstream: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        grad, grad_entropy = upstream
        temperature, chunk, needs_weight, entropy_gradient = ctx.settings
        slope, entropy_slope, *saved = ctx.saved_tensors
        if not needs_weight:
            grad_hidden = None if slope is None else slope * grad[:, None].to(slope.dtype)
            if grad_hidden is not None and entropy_slope is not None:
                grad_hidden = grad_hidden + entropy_slope * grad_entropy[:, None].to(grad_hidden.dtype)
            return (grad_hidden, *(None,) * 6)
        hidden, weight, target = saved
        grad_hidden = torch.empty_like(hidden)
        # In bf16 the sum over chunks would round away what the later ones add.
        grad_weight = torch.zeros_like(weight, dtype=torch.float32)
        for start in range(0, len(target), chunk):
            part = slice(start, start + chunk)
            logits = _logits(hidden[part], weight, temperature)
            probs = logits.softmax(-1)
            difference = -probs
            difference[torch.arange(len(difference)), target[part]] += 1
            difference *= grad[part, None]
            if entropy_gradient:
                total = logits.logsumexp(-1)
                entropy = total - torch.linalg.vecdot(probs, logits)
                difference += _entropy_slope(probs, logits, total, entropy) * grad_entropy[part, None]
            difference = (difference / temperature).to(weight.dtype)
            grad_hidden[part] = difference @ weight
            grad_weight += difference.T @ hidden[part]
        return grad_hidden, grad_weight.to(weight.dtype), *(None,) * 5


def _entropy_slope(
    probs: torch.Tensor, logits: torch.Tensor, total: torch.Tensor, entropy: torch.Tensor
) -> torch.Tensor:
    """The entropy's derivative by each logit: -p (log p + H)."""
    return -probs * (logits - total[:, None] + entropy[:, None])


def _logits(hidden: torch.Tensor, weight: torch.Tensor, temperature: float) -> torch.Tensor:
    logits = (hidden @ weight.T).float()
    return logits if temperature == 1 else logits.div_(temperature)
