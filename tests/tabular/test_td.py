"""Temporal differences: single updates by hand, identities between methods, and convergence to exact values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import pytest

from rlpath.tabular.chains import Transition
from rlpath.tabular.dp import greedy, policy_values, value_iteration
from rlpath.tabular.examples import goes_left, maximization_bias, random_walk
from rlpath.tabular.exploration import EpsilonGreedy, Schedule
from rlpath.tabular.learner import Control, Prediction, StepSize
from rlpath.tabular.model import Model, from_transitions, load_model
from rlpath.tabular.n_step import NStepSarsa, NStepTD
from rlpath.tabular.td import TD0, DoubleQLearning, ExpectedSarsa, QLearning, Sarsa, TDLambda
from rlpath.tabular.training import control, experience, predict

WALK = random_walk(5)
HALF = StepSize(0.5)


def step(s_tm1: int, a_tm1: int, r_t: float, s_t: int, *, end: str = "", gamma: float = 0.9, **more: Any) -> Transition:
    """One step of one chain; `end` is "" in mid-episode, "terminated" or "truncated"."""
    return Transition(
        np.array([s_tm1]), np.array([a_tm1]), np.array([r_t]), np.array([0.0 if end == "terminated" else gamma]),
        np.array([s_t]), np.array([end == "truncated"]), np.array([bool(end)]),
        **{name: np.array([value]) for name, value in more.items()},
    )  # fmt: skip


def with_table(learner: Control, rows: Sequence[Sequence[float]]) -> Control:
    learner.table_KSA[0, : len(rows)] = rows
    return learner


def uniform(model: Model) -> np.ndarray:
    return np.full((model.states, model.actions), 1 / model.actions)


ROWS = [[1.0, 2.0], [3.0, 7.0]]


def test_td0_by_hand() -> None:
    """v(0) = 1, v(1) = 4, r = 2, γ = 0.9, α = 0.5: 1 + 0.5 (2 + 3.6 − 1) = 3.3; terminated 1.5; truncated 3.3."""
    for end, value in (("", 3.3), ("terminated", 1.5), ("truncated", 3.3)):
        learner = TD0(WALK, 1, 0.9, HALF)
        learner.v_KS[0, :2] = [1, 4]
        learner.update(step(0, 0, 2.0, 1, end=end))
        assert learner.v_KS[0, 0] == pytest.approx(value)


@pytest.mark.parametrize(
    ("method", "value"),
    [
        (QLearning, 1 + 0.5 * (2 + 0.9 * 7 - 1)),
        (Sarsa, 1 + 0.5 * (2 + 0.9 * 3 - 1)),
        (ExpectedSarsa, 1 + 0.5 * (2 + 0.9 * (0.75 * 3 + 0.25 * 7) - 1)),
    ],
)
def test_control_updates_by_hand(method: Callable[..., Control], value: float) -> None:
    """Next action 0 of π = (0.75, 0.25): SARSA reads 3, Expected SARSA 4, Q-learning 7."""
    for end, expected in (("", value), ("truncated", value), ("terminated", 1 + 0.5 * (2 - 1))):
        learner = with_table(method(WALK, 1, 0.9, HALF), ROWS)
        learner.update(step(0, 0, 2.0, 1, end=end, a_t=0, pi_t=[0.75, 0.25]))
        assert learner.q_KSA[0, 0, 0] == pytest.approx(expected)
        assert learner.q_KSA[0, 0, 1] == 2 and learner.visits_KSA[0].sum() == 1


def test_double_q_learning_by_hand() -> None:
    """The coin picks table 1: its best action in s_t is 1, table 0 values it 7; and the other way round."""
    for coin, one, value in ((0.2, 1, 10 + 0.5 * (2 + 0.9 * 7 - 10)), (0.8, 0, 1 + 0.5 * (2 + 0.9 * 30 - 1))):
        learner = DoubleQLearning(WALK, 1, 0.9, HALF)
        learner.tables_2KSA[:, 0, :2] = [[[1, 2], [3, 7]], [[10, 20], [20, 30]]]
        before = learner.tables_2KSA.copy()
        learner.update(step(0, 0, 2.0, 1, coin=coin))
        assert learner.tables_2KSA[one, 0, 0, 0] == pytest.approx(value)
        assert (learner.tables_2KSA != before).sum() == 1
        assert (learner.values(np.array([0])) == learner.q_KSA[:, 0]).all()


@pytest.mark.parametrize(("traces", "second"), [("accumulating", 1 + 0.9 * 0.5), ("replacing", 1.0)])
def test_eligibility_traces_by_hand(traces: Literal["accumulating", "replacing"], second: float) -> None:
    """State 0 twice, then 1: traces 1, then 1 + γλ or 1, then γλ of that beside 1; an end clears them."""
    learner = TDLambda(WALK, 1, 0.9, StepSize(0.1), lam=0.5, traces=traces)
    learner.update(step(0, 0, 0.0, 0))
    learner.update(step(0, 0, 0.0, 1))
    assert learner.z_KS[0, 0] == pytest.approx(second)
    learner.update(step(1, 0, 2.0, 2))
    assert learner.z_KS[0, :2] == pytest.approx([second * 0.45, 1])
    assert learner.v_KS[0, :2] == pytest.approx([0.1 * 2 * second * 0.45, 0.1 * 2])
    learner.update(step(2, 0, 0.0, 3, end="truncated"))
    assert not learner.z_KS.any()


def test_step_sizes() -> None:
    """α n^(−power): constant, sample average, square root."""
    n = np.array([1.0, 4.0])

    assert StepSize(0.3)(n) == 0.3
    assert np.asarray(StepSize(1.0, 1.0)(n)).tolist() == [1, 0.25]
    assert np.asarray(StepSize(0.5, 0.5)(n)).tolist() == [0.5, 0.25]


def same_values(one: Prediction, other: Prediction, steps: int = 1000) -> bool:
    """Whether two prediction methods learn the same bits on the same walks of four seeds."""
    first, second = (predict(WALK, learner, uniform(WALK), range(4), steps) for learner in (one, other))
    return bool((first == second).all()) and bool(first.std() > 0.05)


def test_methods_that_are_the_same_give_the_same_bits() -> None:
    """TD(λ) with λ = 0 and n-step TD with n = 1 are TD(0); n-step SARSA with n = 1 is SARSA."""
    arguments = (WALK, 4, 0.95, StepSize(0.1))
    assert same_values(TD0(*arguments), TDLambda(*arguments, lam=0.0, traces="replacing"))
    assert same_values(TD0(*arguments), NStepTD(*arguments, n=1))
    lake = load_model("FrozenLake-v1", 12)
    explore = EpsilonGreedy(Schedule(1.0, 0.2, 1000))
    tables = [
        control(lake, learner, explore, range(4), 1500).q_KSA
        for learner in (Sarsa(lake, 4, 0.95, HALF), NStepSarsa(lake, 4, 0.95, HALF, n=1))
    ]
    assert (tables[0] == tables[1]).all() and tables[0].any()


def test_expected_sarsa_of_the_greedy_policy_is_q_learning() -> None:
    """With π greedy both targets are the maximum."""
    pi = greedy(np.array([ROWS[1]]))[0]
    tables = [with_table(method(WALK, 1, 0.9, HALF), ROWS) for method in (ExpectedSarsa, QLearning)]
    for learner in tables:
        learner.update(step(0, 0, 2.0, 1, pi_t=pi))

    assert (tables[0].q_KSA == tables[1].q_KSA).all()


PREDICTION: list[tuple[str, Callable[..., Prediction], dict[str, Any]]] = [
    ("TD(0)", TD0, {}),
    ("TD(0.8), accumulating", TDLambda, {"lam": 0.8, "traces": "accumulating"}),
    ("TD(0.8), replacing", TDLambda, {"lam": 0.8, "traces": "replacing"}),
    ("4-step TD", NStepTD, {"n": 4}),
]


@pytest.mark.parametrize(("method", "options"), [row[1:] for row in PREDICTION], ids=[row[0] for row in PREDICTION])
def test_prediction_converges_to_the_exact_values(method: Callable[..., Prediction], options: dict[str, Any]) -> None:
    """On the walk with γ = 0.95, 30 seeds: every state's mean within five standard errors, plus 0.005 of bias.

    The same tolerance rejects the values of γ = 0.9 and γ = 1.
    """
    v = predict(WALK, method(WALK, 30, 0.95, StepSize(1.0, 0.7), **options), uniform(WALK), range(30), 6000)
    tolerance = 0.005 + 5 * v.std(0, ddof=1) / np.sqrt(30)

    def errors(gamma: float) -> np.ndarray:
        return np.abs(v.mean(0) - policy_values(WALK, uniform(WALK), gamma))

    assert (errors(0.95) <= tolerance).all(), errors(0.95) / tolerance
    assert (errors(0.9) > tolerance).any() and (errors(1.0) > tolerance).any()


def test_truncation_is_not_an_end() -> None:
    """A reward of 1 for ever, cut after 5 steps, is worth 1 / (1 − γ) = 10; taken for an end it would be about 4.1."""
    forever = from_transitions("for ever", {0: {0: [(1.0, 0, 1.0, False)]}}, np.ones(1), limit=5)
    for _, method, options in PREDICTION:
        v = predict(forever, method(forever, 2, 0.9, StepSize(0.2), **options), np.ones((1, 1)), range(2), 2000)
        assert v == pytest.approx(np.full((2, 1), 10), abs=1e-6)
    for method in (QLearning, Sarsa, ExpectedSarsa, DoubleQLearning):
        learner = method(forever, 2, 0.9, StepSize(0.2))
        q = control(forever, learner, EpsilonGreedy(Schedule(0, 0, 0)), range(2), 2000).q_KSA
        assert q == pytest.approx(np.full((2, 1, 1), 10), abs=1e-6)


def test_q_learning_finds_the_exact_action_values_of_a_deterministic_task() -> None:
    """With α = 1 and random actions, on a grid with a hole and a wall, all 36 actions get their exact values."""
    grid = load_model("TextGrid-v0", rows=["S..", ".#H", "..G"])
    learner = QLearning(grid, 3, 0.9, StepSize(1.0))
    q = control(grid, learner, EpsilonGreedy(Schedule(1.0, 1.0, 0)), range(3), 5000).q_KSA

    assert q == pytest.approx(np.tile(value_iteration(grid, 0.9).q_SA, (3, 1, 1)), abs=1e-9)


def test_expected_sarsa_finds_the_epsilon_soft_optimum() -> None:
    """With ε = 0.3 throughout, its value at the start comes within 3 % of the exact one, far from the greedy one."""
    cliff = load_model("CliffWalking-v1", 500)
    learner = ExpectedSarsa(cliff, 5, 0.95, StepSize(0.5))
    q = control(cliff, learner, EpsilonGreedy(Schedule(0.3, 0.3, 0)), range(5), 30_000).q_KSA
    soft, hard = (value_iteration(cliff, 0.95, epsilon=epsilon).q_SA for epsilon in (0.3, 0.0))
    up = (36, 0)

    assert q[:, *up].mean() == pytest.approx(soft[up], rel=0.03)
    assert abs(q[:, *up].mean() - hard[up]) > 0.2 * abs(hard[up])


def test_double_q_learning_does_not_fall_for_the_luckiest_estimate() -> None:
    """Sutton & Barto Example 6.7: going left is worth −0.1, and Q-learning is drawn there, Double Q-learning less.

    Share of left turns in A over the first 100 episodes, 200 seeds, ε = 0.1 as in the book, where 5 % is optimal.
    """
    model = maximization_bias()
    shares = []
    for method in (QLearning, DoubleQLearning):
        learner = method(model, 200, 1.0, StepSize(0.1))
        left, visits = np.zeros((2, 200))
        for x in experience(model, learner, EpsilonGreedy(Schedule(0.1, 0.1, 0)), range(200), 300):
            counted = (x.s_tm1 == 0) & (visits < 100)
            left += counted & (x.a_tm1 < 5)
            visits += counted
        shares.append(float((left / visits).mean()))

    assert shares[0] > 0.7
    assert shares[1] < 0.4
    exact = value_iteration(model, 1.0, epsilon=0.1)
    assert goes_left(exact.policy_SA[0]) == pytest.approx(0.05)
    assert exact.v_S[0] == pytest.approx(-0.005)
