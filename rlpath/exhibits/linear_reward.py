"""A small learned reward model: Bradley–Terry on what a frozen language model knows after the last token.

It is a reward model in every respect but size: it is fitted to preferences, is right more often than not on held-out
pairs, and has whatever bias its annotators had. A few hundred pairs and one forward of a small model are enough, so
that what a policy does to a learned reward can be watched on a laptop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from rlpath.losses import bradley_terry_loss
from rlpath.rewards.combine.trl import Message, completion_text


class Features:
    """Hidden states [N, H] of a frozen causal language model at the last token of a conversation."""

    def __init__(self, model: Any, tokenizer: Any, batch_size: int = 64) -> None:
        self.model, self.tokenizer, self.batch_size = model.eval(), tokenizer, batch_size

    @torch.no_grad()
    def __call__(self, conversations: Sequence[list[Message]]) -> torch.Tensor:
        """One row for each conversation (user, assistant), fp32."""
        parts = []
        for start in range(0, len(conversations), self.batch_size):
            rows = [self._tokens(each) for each in conversations[start : start + self.batch_size]]
            length = max(map(len, rows))
            ids = torch.tensor([row + [0] * (length - len(row)) for row in rows], device=self.model.device)
            mask = torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in rows], device=ids.device)
            hidden = self.model.get_decoder()(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
            parts.append(hidden[torch.arange(len(rows)), mask.sum(1) - 1].float())
        return torch.cat(parts)

    def _tokens(self, conversation: list[Message]) -> list[int]:
        return self.tokenizer.apply_chat_template(conversation, return_dict=False)


@dataclass(frozen=True)
class LinearReward:
    """score = min over heads of w · (h - mean) / scale, in standard deviations of the completions it was fitted on.

    Several heads are an ensemble that believes its most skeptical member (Coste et al. 2023, arXiv 2310.02743). It is
    a reward function as TRL and `PPOTrainer` take it.
    """

    features: Features
    mean_H: torch.Tensor
    scale_H: torch.Tensor
    weights_K_H: torch.Tensor
    center_K: torch.Tensor
    spread_K: torch.Tensor
    __name__ = "linear_reward_model"

    def __call__(
        self, prompts: Sequence[list[Message]], completions: Sequence[str | list[Message]], **_: Any
    ) -> list[float]:
        """One score for each completion, in order."""
        said = [{"role": "assistant", "content": completion_text(completion)} for completion in completions]
        return self.score([[*prompt, answer] for prompt, answer in zip(prompts, said, strict=True)]).tolist()

    def score(self, conversations: Sequence[list[Message]]) -> torch.Tensor:
        """The score of each conversation's last turn, [N]."""
        return self.of_features(self.features(conversations))

    def of_features(self, hidden_N_H: torch.Tensor) -> torch.Tensor:
        """The score of each row of features, [N]."""
        raw_N_K = ((hidden_N_H - self.mean_H) / self.scale_H) @ self.weights_K_H.T
        return ((raw_N_K - self.center_K) / self.spread_K).amin(1)


@dataclass(frozen=True)
class Pairs:
    """Preferences between completions of one prompt: rows of `hidden_N_H` and their `lengths_N` in tokens."""

    hidden_N_H: torch.Tensor
    lengths_N: torch.Tensor
    chosen_P: torch.Tensor
    rejected_P: torch.Tensor

    def take(self, index: torch.Tensor) -> Pairs:
        """The pairs at `index`."""
        return Pairs(self.hidden_N_H, self.lengths_N, self.chosen_P[index], self.rejected_P[index])


def fit_linear_reward(
    features: Features, pairs: Pairs, *, length_free: bool = False, heads: int = 1, penalty: float = 0.01, seed: int = 0
) -> LinearReward:
    """The reward that makes the chosen of every pair most likely (`bradley_terry_loss`), with weight decay.

    `length_free` lets the difference in length explain a preference first and leaves its share out of the reward, as
    in a product of two experts of which one is thrown away (Shen et al. 2023, arXiv 2310.05199), and takes out of the
    weights what still goes with length on these completions. With more than one head each is fitted to a bootstrap
    sample of the pairs.
    """
    mean_H, scale_H = pairs.hidden_N_H.mean(0), pairs.hidden_N_H.std(0).clamp(min=1e-6)
    hidden_N_H = (pairs.hidden_N_H - mean_H) / scale_H
    length_N = (pairs.lengths_N - pairs.lengths_N.mean()) / pairs.lengths_N.std().clamp(min=1e-6)
    generator = torch.Generator().manual_seed(seed)
    count = len(pairs.chosen_P)
    weights = []
    for _ in range(heads):
        rows = torch.arange(count) if heads == 1 else torch.randint(count, (count,), generator=generator)
        weights.append(_fit(hidden_N_H, length_N if length_free else 0 * length_N, pairs.take(rows), penalty))
    weights_K_H = torch.stack(weights)
    if length_free:
        # The covariance of score and length is w · `along_H`: what is left of w has none.
        along_H = torch.nn.functional.normalize(length_N @ hidden_N_H, dim=0)
        weights_K_H = weights_K_H - (weights_K_H @ along_H)[:, None] * along_H
    raw_N_K = hidden_N_H @ weights_K_H.T
    return LinearReward(features, mean_H, scale_H, weights_K_H, raw_N_K.mean(0), raw_N_K.std(0).clamp(min=1e-6))


def _fit(hidden_N_H: torch.Tensor, length_N: torch.Tensor, pairs: Pairs, penalty: float) -> torch.Tensor:
    """Weights [H] of one head, by L-BFGS to convergence: the loss is convex."""
    weights = torch.zeros(hidden_N_H.shape[1], requires_grad=True)
    of_length = torch.zeros((), requires_grad=True)
    optimizer = torch.optim.LBFGS([weights, of_length], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        score_N = hidden_N_H @ weights + of_length * length_N
        loss = bradley_terry_loss(score_N[pairs.chosen_P], score_N[pairs.rejected_P])
        loss = loss + penalty * weights.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return weights.detach()


def pair_accuracy(score_N: torch.Tensor, pairs: Pairs) -> float:
    """Share of the pairs whose chosen completion scores higher."""
    return (score_N[pairs.chosen_P] > score_N[pairs.rejected_P]).float().mean().item()
