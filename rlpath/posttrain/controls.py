"""Rewards that carry no truth, to compare a gain with: what a random, formal, wrong or majority reward gains too.

After Shao et al. 2025, "Spurious Rewards" (arXiv 2506.10947), and, for the majority, Zuo et al. 2025 (arXiv
2504.16084). The verifier still checks every completion; only the reward is another.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import Literal

from rlpath.core.seeding import derive
from rlpath.core.types import Status, Verifier
from rlpath.posttrain.verify import Verified

Control = Literal["random", "format", "wrong", "majority"]


def control_reward(
    kind: Control, verified: Verified, verifier: Verifier, group_size: int, seed: int
) -> list[float | None]:
    """The reward of each completion.

    - `random`: 1 or 0 by a fair coin, fixed by `seed`;
    - `format`: 1 where an answer can be read, whatever it is;
    - `wrong`: 1 where the answer is the commonest wrong one of its group;
    - `majority`: 1 where it is the commonest of its group, right or wrong.
    """
    if kind == "random":
        # A coin for each problem, whichever process it came to.
        coins = [
            random.Random(derive(seed, verified.problems[group.start].id)) for group in verified.groups(group_size)
        ]
        return [float(coin.random() < 0.5) for coin in coins for _ in range(group_size)]
    if kind == "format":
        return [float(verdict.status in (Status.CORRECT, Status.WRONG)) for verdict in verified.verdicts]
    rewards: list[float | None] = []
    for group in verified.groups(group_size):
        answers = [
            verified.verdicts[row].answer
            for row in group
            if kind == "majority" or verified.verdicts[row].status is Status.WRONG
        ]
        said = Counter(answer for answer in answers if answer)
        taken = said.most_common(1)[0][0] if said else None
        rewards += [_pays(verifier, verified, row, taken) for row in group]
    return rewards


def _pays(verifier: Verifier, verified: Verified, row: int, taken: str | None) -> float:
    """1 where the verifier would take the completion if `taken` were the gold answer."""
    if taken is None:
        return 0.0
    completion, question = verified.completions[row], verified.problems[row].prompt
    return float(verifier(completion.text, taken, question=question, truncated=completion.truncated).correct)
