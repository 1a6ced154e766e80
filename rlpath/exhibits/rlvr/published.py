"""Figures that others published on the same questions: protocol in words, and none of them measured here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """One published result: `question` is the part of this study that it stands beside."""

    question: str
    source: str
    setting: str
    result: str


PUBLISHED = (
    Published(
        "coverage",
        "Yue et al. 2025, arXiv 2504.13837",
        "RLVR on several families, k up to 1024, T = 0.6",
        "the base overtakes RL at k of tens to hundreds",
    ),
    Published(
        "coverage",
        "the same",
        "Omni-MATH, Qwen2.5-7B, GRPO",
        "pass@1 10.2 → 25.1, pass@256 69.1 → 68.3",
    ),
    Published(
        "new problems",
        "ProRL, arXiv 2505.24864",
        "over 2,000 steps with a KL penalty and resets of the reference",
        "gains also where the base fails at every k",
    ),
    Published(
        "new problems",
        "arXiv 2606.15455",
        "updates on problems without a success alone",
        "pass@256 above the base",
    ),
    Published(
        "rewards",
        "Spurious Rewards, arXiv 2506.10947",
        "MATH-500, Qwen2.5-Math-7B, points of gain",
        "true +29.1, random +21.4, format +13.8, wrong +24.1, majority +27.1; none on Llama or OLMo",
    ),
    Published(
        "rewards",
        "Reasoning or Memorization, arXiv 2507.10532",
        "generated calculations",
        "the true reward alone works",
    ),
    Published(
        "form",
        "One-shot RLVR, arXiv 2504.20571",
        "MATH-500, Qwen2.5-Math-1.5B",
        "36.0 → 73.6, of which 8.6 beyond the correction of format",
    ),
    Published(
        "seeds",
        "A Sober Look, arXiv 2504.07086",
        "small test sets",
        "standard deviation over seeds of 5 to 15 points",
    ),
    Published(
        "gain on GSM8K",
        "SimpleRL-Zoo",
        "Qwen2.5-0.5B; base greedy, RL at T = 1",
        "36.7 → 49.5",
    ),
    Published(
        "gain on GSM8K",
        "verl's documentation",
        "Qwen2.5-0.5B-Instruct; before in another harness, best of 43 evaluations after",
        "49.6 → 56.7 (PPO), 54.3 (GRPO, LoRA)",
    ),
)
