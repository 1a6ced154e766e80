"""Blackjack (S&B 5.1): exact tables, Monte Carlo with exploring starts, and learning off-policy by importance sampling.

    exploring starts     every episode begins with any state and action; then the policy is greedy     S&B 5.3
    ordinary sampling    V = Σ ρ G / n                                                                S&B (5.5)
    weighted sampling    V = Σ ρ G / Σ ρ,   ρ = Π π(a|s) / b(a|s)                                     S&B (5.6)

Cards come from an infinite deck; the dealer sticks on 17 and above. A state is the player's sum (12 to 21), the card
the dealer shows (1 is an ace) and whether the player holds an ace that counts 11. A natural counts as any other 21. No
state comes twice in an episode, γ is 1 and only the last step earns anything: −1, 0 or 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from rlpath.core.seeding import derive
from rlpath.tabular.chains import MOVE, RESTART, START, Chains, draws
from rlpath.tabular.dp import value_iteration
from rlpath.tabular.model import Array, Ints, Model, from_transitions

STICK, HIT = 0, 1
CARDS = {**dict.fromkeys(range(1, 10), 1 / 13), 10: 4 / 13}
LONGEST = 22
"""No hand takes more cards."""


def state(total: int, shown: int, usable: bool) -> int:
    """The number of a state."""
    return (usable * 10 + total - 12) * 10 + shown - 1


def blackjack() -> Model:
    """The game's tables; an episode starts in any of the 200 states with the same probability."""
    table = {}
    for usable in (False, True):
        for total in range(12, 22):
            for shown in range(1, 11):
                here = state(total, shown, usable)
                table[here] = {STICK: _stick(here, total, shown), HIT: _hit(here, total, shown, usable)}
    return from_transitions("blackjack", table, np.full(200, 1 / 200), LONGEST)


def _stick(here: int, total: int, shown: int) -> list[tuple[float, int, float, bool]]:
    final = _dealer(*_add(0, False, shown))
    outcomes = {1.0: 0.0, 0.0: 0.0, -1.0: 0.0}
    for dealer, p in final.items():
        outcomes[1.0 if dealer > 21 else float(np.sign(total - dealer))] += p
    return [(p, here, reward, True) for reward, p in outcomes.items()]


def _hit(here: int, total: int, shown: int, usable: bool) -> list[tuple[float, int, float, bool]]:
    outcomes = []
    for card, p in CARDS.items():
        after, keeps = _add(total, usable, card)
        outcomes.append((p, here, -1.0, True) if after > 21 else (p, state(after, shown, keeps), 0.0, False))
    return outcomes


def _add(total: int, usable: bool, card: int) -> tuple[int, bool]:
    """The sum and whether an ace in it counts 11, after a card."""
    total, usable = (total + 11, True) if card == 1 and total + 11 <= 21 else (total + card, usable)
    return (total - 10, False) if total > 21 and usable else (total, usable)


@cache
def _dealer(total: int, usable: bool) -> dict[int, float]:
    """Probabilities of the dealer's last sum, all above 21 being a bust."""
    if total >= 17:
        return {total: 1.0}
    final: dict[int, float] = {}
    for card, p in CARDS.items():
        for last, q in _dealer(*_add(total, usable, card)).items():
            final[last] = final.get(last, 0.0) + p * q
    return final


def sticks_from(least: int) -> Array:
    """The policy (S, A) that sticks on `least` and above, and hits below."""
    total = np.arange(200) // 10 % 10 + 12
    return np.eye(2)[np.where(total >= least, STICK, HIT)]


def optimal_policy(model: Model) -> Ints:
    """The best action (S,) of each state, by dynamic programming."""
    return value_iteration(model, 1.0).q_SA.argmax(-1)


def exploring_starts(model: Model, seeds: Sequence[int], steps: int) -> Array:
    """Action values (K, S, A) after so many steps of Monte Carlo control with exploring starts (S&B 5.3).

    The first policy sticks on 20 and 21; afterwards each state's action is the one whose mean return is highest, as
    soon as it has been updated.
    """
    k = np.arange(len(seeds))
    q, n = np.zeros((2, len(seeds), model.states, model.actions))
    policy = np.tile(sticks_from(20).argmax(-1), (len(seeds), 1))
    seen_s, seen_a = np.zeros((2, len(seeds), LONGEST), dtype=np.int64)
    length = np.zeros(len(seeds), dtype=np.int64)
    rows = draws(seeds, "exploring starts")
    first = next(rows)
    chains, a = Chains(model, first[START], 1.0), (first[RESTART] * model.actions).astype(np.int64)
    for _ in range(steps):
        u = next(rows)
        seen_s[k, length], seen_a[k, length] = chains.s, a
        length += 1
        x = chains.step(a, u[MOVE], u[START])
        for t in range(length[x.done].max(initial=0)):
            at = np.flatnonzero(x.done & (t < length))
            pair = (at, seen_s[at, t], seen_a[at, t])
            n[pair] += 1
            q[pair] += (x.r_t[at] - q[pair]) / n[pair]
            policy[pair[:2]] = q[pair[:2]].argmax(-1)
        length[x.done] = 0
        a = np.where(x.done, (u[RESTART] * model.actions).astype(np.int64), policy[k, chains.s])
    return q


def off_policy_episodes(
    model: Model, target_SA: Array, start: int, runs: int, episodes: int, seed: int
) -> tuple[Array, Array]:
    """Importance ratios ρ and returns G, each (runs, episodes), of episodes that a uniformly random policy played."""
    rng = np.random.default_rng(derive(seed, "tabular", "off policy"))
    count = runs * episodes
    ratio, g = np.ones(count), np.zeros(count)
    running, s = np.arange(count), np.full(count, start)
    while len(running):
        a = rng.integers(model.actions, size=len(s))
        ratio[running] *= target_SA[s, a] * model.actions
        s, r, ended = model.outcome(s, a, rng.random(len(s)))
        g[running] += r
        running, s = running[~ended], s[~ended]
    return ratio.reshape(runs, episodes), g.reshape(runs, episodes)


def loop_episodes(runs: int, episodes: int, seed: int) -> tuple[Array, Array]:
    """Ratios and returns, each (runs, episodes), of Example 5.5, where ρ G has no finite variance.

    One state: right ends for 0, left comes back with probability 0.9 or ends for 1. The target always goes left, the
    behavior either way.
    """
    rng = np.random.default_rng(derive(seed, "tabular", "loop"))
    lefts = rng.geometric(0.5, (runs, episodes)) - 1  # that the behavior would take before its first right
    needed = rng.geometric(0.1, (runs, episodes))  # that would end the episode
    earned = needed <= lefts
    return np.where(earned, 2.0**needed, 0.0), earned.astype(np.float64)


def ordinary(ratio_KE: Array, g_KE: Array) -> Array:
    """The ordinary importance-sampling estimate (K, E) after each episode: unbiased."""
    return (ratio_KE * g_KE).cumsum(-1) / np.arange(1, ratio_KE.shape[-1] + 1)


def weighted(ratio_KE: Array, g_KE: Array) -> Array:
    """The weighted estimate (K, E) after each episode, 0 before the first ratio above 0: biased, and less variable."""
    weights = ratio_KE.cumsum(-1)
    return np.where(weights > 0, (ratio_KE * g_KE).cumsum(-1) / np.where(weights > 0, weights, 1.0), 0.0)
