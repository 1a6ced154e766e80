"""Returns and advantages over time, for every algorithm that needs them. Arrays are (T, N): time first.

The last axis may be anything, or missing: everything here is elementwise over it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def gae(reward_t: Array, value_t: Array, value_tp1: Array, done_t: Array, discount: float, lambda_: float) -> Array:
    """Generalised advantage estimation (Schulman et al. 2016, arXiv:1506.02438, equation 16), (T, N).

    delta_t = r_t + γ·V(s_{t+1}) − V(s_t),   A_t = delta_t + γλ·(1 − done_t)·A_{t+1}

    `value_tp1` is the value of where step t led: zero where it terminated, the value of the final observation where it
    was truncated. `done_t` is either: nothing flows back across the end of an episode.
    """
    delta_t = reward_t + discount * value_tp1 - value_t
    decay_t = (discount * lambda_) * (1.0 - done_t.astype(delta_t.dtype))
    advantage_t = np.empty_like(delta_t)
    running = np.zeros_like(delta_t[0])
    for t in reversed(range(len(delta_t))):
        running = delta_t[t] + decay_t[t] * running
        advantage_t[t] = running
    return advantage_t


def discounted_returns(reward_t: Array, done_t: Array, bootstrap_t: Array, discount: float) -> Array:
    """G_t = r_t + γ·G_{t+1} within an episode, (T, N).

    Where step t ends an episode, and after the last step, the rest is `bootstrap_t`: zero where it terminated, else
    the value of where it led.
    """
    returns_t = np.empty(reward_t.shape, np.result_type(reward_t, bootstrap_t, np.float32))
    following = bootstrap_t[-1]
    for t in reversed(range(len(reward_t))):
        following = reward_t[t] + discount * np.where(done_t[t], bootstrap_t[t], following)
        returns_t[t] = following
    return returns_t
