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
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probability of each target token [N], fp32, and the entropy in nats of the distribution it came from [N].

    Logits are `hidden @ weight.T / temperature`. The log-probability is differentiable in both inputs, the entropy in
    neither.
    """
    needs_weight = weight_V_H.requires_grad and torch.is_grad_enabled()
    logprob_N, entropy_N = _TokenLogprobs.apply(hidden_N_H, weight_V_H, target_N, temperature, chunk, needs_weight)
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
    ) -> tuple[torch.Tensor, torch.Tensor]:
        logprob = torch.empty(len(target), dtype=torch.float32, device=hidden.device)
        entropy = torch.empty_like(logprob)
        slope = torch.empty_like(hidden) if hidden.requires_grad and not needs_weight else None
        for start in range(0, len(target), chunk):
            part = slice(start, start + chunk)
            logits = _logits(hidden[part], weight, temperature)
            total = logits.logsumexp(-1)
            logprob[part] = logits.gather(-1, target[part, None])[:, 0] - total
            probs = (logits - total[:, None]).exp_()
            entropy[part] = total - torch.linalg.vecdot(probs, logits)
            if slope is not None:
                slope[part] = (weight[target[part]] - probs.to(weight.dtype) @ weight) / temperature
        ctx.mark_non_differentiable(entropy)
        ctx.settings = (temperature, chunk, needs_weight)
        ctx.save_for_backward(slope, *((hidden, weight, target) if needs_weight else ()))
        return logprob, entropy

    @staticmethod
    def backward(ctx: Any, *upstream: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        grad = upstream[0]
        temperature, chunk, needs_weight = ctx.settings
        slope, *saved = ctx.saved_tensors
        if not needs_weight:
            return (None if slope is None else slope * grad[:, None].to(slope.dtype), *(None,) * 5)
        hidden, weight, target = saved
        grad_hidden = torch.empty_like(hidden)
        # In bf16 the sum over chunks would round away what the later ones add.
        grad_weight = torch.zeros_like(weight, dtype=torch.float32)
        for start in range(0, len(target), chunk):
            part = slice(start, start + chunk)
            logits = _logits(hidden[part], weight, temperature)
            difference = logits.softmax(-1).neg_()
            difference[torch.arange(len(difference)), target[part]] += 1
            difference = (difference * (grad[part, None] / temperature)).to(weight.dtype)
            grad_hidden[part] = difference @ weight
            grad_weight += difference.T @ hidden[part]
        return grad_hidden, grad_weight.to(weight.dtype), None, None, None, None


def _logits(hidden: torch.Tensor, weight: torch.Tensor, temperature: float) -> torch.Tensor:
    logits = (hidden @ weight.T).float()
    return logits if temperature == 1 else logits.div_(temperature)
