"""DQN, DDPG, TD3 and SAC: one seed is one run, killed or not; schedules by hand; and what the user can mend."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from rlpath.core.errors import InputError
from rlpath.deep import ddpg, dqn, sac, td3
from rlpath.deep.parts import probes
from rlpath.deep.parts.off_policy import ActionBox, Critic, adam, follow
from rlpath.deep.parts.replay import ReplayBuffer, Transitions
from rlpath.deep.parts.vec import Step, VectorEnv
from rlpath.runs.run_folder import RunFolder

Array = np.ndarray[Any, Any]
TINY: Any = {"total_timesteps": 400, "checkpoint_every": 150, "num_envs": 2, "hidden": (8,), "batch_size": 16}
TINY |= {"learning_starts": 60, "train_frequency": 3, "gradient_steps": 2, "buffer_size": 220, "seed": 3}
RUNS: dict[str, tuple[Any, Any]] = {
    "dqn": (dqn, dqn.Args(**TINY)),
    "dqn-all": (dqn, dqn.Args(**TINY, prioritized=True, dueling=True, double=True, target_frequency=50)),
    "ddpg": (ddpg, ddpg.Args(**TINY)),
    "td3": (td3, td3.Args(**TINY)),
    "sac": (sac, sac.Args(**TINY)),
}


def vectors(length: int) -> gymnasium.spaces.Box:
    """A space of observed vectors."""
    return gymnasium.spaces.Box(-np.inf, np.inf, (length,), np.float32)


PROBE = f"probe/{probes.ConstantReward.__name__}-v0"
KILLED_AT = 380  # in the middle of a round, after the checkpoint of step 300
# A process that forks one child for each run: a whole one, whose digests it prints, and one that kills itself.
ELSEWHERE = """
import json, os, signal, sys
from pathlib import Path
from rlpath.deep import ddpg, dqn, sac, td3
from rlpath.deep.parts import vec
from rlpath.runs.run_folder import RunFolder

root, killed_at, runs = Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
step = vec.VectorEnv.step
taken = 0

def counted(envs, actions):
    global taken
    taken += envs.num_envs
    if taken >= killed_at:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(envs, actions)

def child(work):
    pid = os.fork()
    if pid == 0:
        work()
        os._exit(0)
    return os.waitpid(pid, 0)[1]

for name, config in runs.items():
    module = globals()[name.split("-")[0]]
    args = module.Args(**{**config, "hidden": tuple(config["hidden"])})

    def whole():
        result = module.train(args)
        (root / f"{name}.json").write_text(json.dumps([result.digest, result.history]))

    def killed():
        vec.VectorEnv.step = counted
        module.train(args, RunFolder.open(root, name, config, args.seed))

    assert child(whole) == 0
    assert child(killed) == signal.SIGKILL
"""


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the digests of every run in another process, and the run folder of one killed by SIGKILL."""
    root = tmp_path_factory.mktemp("elsewhere")
    runs = json.dumps({name: asdict(args) for name, (_, args) in RUNS.items()})
    command = [sys.executable, "-c", ELSEWHERE, str(root), str(KILLED_AT), runs]
    subprocess.run(command, check=True, timeout=300)
    return root


def same(one: Any, other: Any) -> bool:
    """Whether two states are equal, bit for bit."""
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


@pytest.mark.parametrize("name", RUNS)
def test_a_killed_run_goes_on_with_the_same_bits(name: str, elsewhere: Path, tmp_path: Path) -> None:
    """Run here twice, in another process, and killed and resumed: equal weights, episodes, buffer and generators."""
    module, args = RUNS[name]
    with RunFolder.open(tmp_path, name, asdict(args), args.seed) as run:
        whole = module.train(args, run)
        state = torch.load(run.checkpoints / f"checkpoint-{whole.steps}" / "state.pt", weights_only=True)
    with RunFolder.open(elsewhere, name, asdict(args), args.seed) as run:
        assert [path.name for path in run.checkpoints.iterdir()] == ["checkpoint-300"]
        resumed = module.train(args, run)
        resumed_state = torch.load(run.checkpoints / f"checkpoint-{whole.steps}" / "state.pt", weights_only=True)

    assert [whole.digest, whole.history] == json.loads((elsewhere / f"{name}.json").read_text())
    assert (resumed.digest, resumed.history, resumed.losses) == (whole.digest, whole.history, whole.losses)
    assert len(state["parts"]["buffer"]["columns"][0]) == 220
    assert same(resumed_state, state)


@pytest.mark.parametrize("name", RUNS)
def test_another_seed_is_another_run(name: str) -> None:
    """And the global generators play no part."""
    module, args = RUNS[name]
    args = replace(args, checkpoint_every=0)
    torch.manual_seed(0)
    first = module.train(args)
    torch.manual_seed(1)

    assert module.train(args).digest == first.digest != module.train(replace(args, seed=4)).digest


# By hand


def test_when_gradient_steps_come() -> None:
    """Rounds of 2 × 3 = 6 steps, two gradient steps each, learning from the first round that ends after step 12."""
    args = dqn.Args(num_envs=2, train_frequency=3, gradient_steps=2, learning_starts=12)

    assert [list(args.gradient_numbers(iteration)) for iteration in range(5)] == [[], [], [1, 2], [3, 4], [5, 6]]


def test_epsilon_falls_and_stays() -> None:
    """From 1 to 0.1 over half of 1000 steps: 0.55 halfway there."""
    args = dqn.Args(total_timesteps=1000, start_e=1.0, end_e=0.1, exploration_fraction=0.5)

    assert [args.epsilon(step) for step in (0, 250, 500, 900)] == pytest.approx([1.0, 0.55, 0.1, 0.1])


def test_the_target_is_renewed_at_every_multiple() -> None:
    """Every 10 steps in rounds of 4: within steps 9–12, 17–20 and 29–32."""
    args = dqn.Args(target_frequency=10, train_frequency=4)

    assert [args.renewals(step) for step in range(4, 33, 4)] == [0, 0, 1, 0, 1, 0, 0, 1]
    assert replace(args, target_frequency=2).renewals(8) == 2


def test_beta_rises_to_one() -> None:
    """From 0.4, over the whole run, and no further in a last round that runs over."""
    args = dqn.Args(total_timesteps=100, priority_beta=0.4)

    assert [args.beta(step) for step in (0, 50, 100, 103)] == pytest.approx([0.4, 0.7, 1.0, 1.0])


def test_exploring_takes_the_best_or_any() -> None:
    """With ε = 0.3 and three actions the best is taken in 0.7 + 0.1 of 6000, the others in 0.1 each."""

    def q(obs: Any) -> Any:
        return np.tile([0.0, 1.0, 0.5], (len(obs), 1))

    rng = np.random.default_rng(0)
    actions = dqn.explore(q, np.zeros((6000, 4)), 3, 0.3, rng)

    assert np.bincount(actions) / 6000 == pytest.approx([0.1, 0.8, 0.1], abs=0.02)
    assert set(dqn.explore(q, np.zeros((100, 4)), 3, 0.0, rng)) == {1}


def test_noise_is_put_on_actions_and_cut() -> None:
    """Around 0 with deviation 0.2, and never past 1."""
    rng = np.random.default_rng(0)

    assert ddpg.explore(np.zeros((20_000, 1), np.float32), 0.2, rng).std() == pytest.approx(0.2, rel=0.02)
    assert ddpg.explore(np.ones((100, 1), np.float32), 0.2, rng).max() == 1.0


def tried(name: str, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> Array:
    """The actions that a run of 400 steps stored, all but the last few before its first gradient step."""
    module, args = RUNS[name]
    stored = []
    add = ReplayBuffer.add
    monkeypatch.setattr(ReplayBuffer, "add", lambda *words: stored.append(words[2]) or add(*words))
    module.train(replace(args, learning_starts=390, checkpoint_every=0, **changes))
    return np.concatenate(stored)[:390].ravel()


@pytest.mark.parametrize(
    ("name", "noisy"), [("ddpg", True), ("ddpg", False), ("td3", True), ("td3", False), ("sac", None)]
)
def test_actions_are_random_before_learning(name: str, noisy: bool | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Uniform over [−1, 1]: with noise some are cut at the ends, without none."""
    actions = tried(name, monkeypatch, **({} if noisy is None else {"noisy_start": noisy}))

    assert np.histogram(actions, 4, (-1, 1))[0] / len(actions) == pytest.approx(np.full(4, 0.25), abs=0.08)
    assert bool((np.abs(actions) == 1).any()) == bool(noisy)


@pytest.mark.parametrize("random_start", [True, False])
def test_dqn_is_random_before_learning_if_told(random_start: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """With ε = 0 the one state of the probe has one best action, whatever it is; `random_start` overrules ε."""
    steady = {"env_id": PROBE, "start_e": 0.0, "end_e": 0.0}
    actions = tried("dqn", monkeypatch, **steady, random_start=random_start)

    assert actions.mean() == pytest.approx(0.5, abs=0.1) if random_start else len(set(actions)) == 1


def test_a_dueling_network_is_value_plus_centered_advantage() -> None:
    """Its mean over actions is V, and its best action that of the advantages alone, which is what acts."""
    network = dqn.QNetwork(vectors(4), 3, dqn.Args(dueling=True, hidden=(8, 6)), torch.Generator().manual_seed(0))
    obs = torch.randn(5, 4, generator=torch.Generator().manual_seed(1))
    assert isinstance(network.net, torch.nn.Sequential)
    features = network.net[:-1](obs)

    assert network.value is not None
    assert torch.allclose(network(obs).mean(-1), network.value(features)[:, 0], atol=1e-6)
    assert network(obs).argmax(-1).tolist() == network.net(obs).argmax(-1).tolist()


def test_double_chooses_online_and_values_by_the_target() -> None:
    """Online prefers action 0, the target action 1: y = 1 + 0.5·Q'(s', 0), not 1 + 0.5·max Q'; an end is worth r."""
    args = dqn.Args(hidden=(), gamma=0.5)
    agent = dqn.Agent(vectors(1), 2, args, torch.Generator().manual_seed(0))
    for network, bias in ((agent.online, [5.0, 4.0]), (agent.target, [2.0, 10.0])):
        weight, given = network.net.parameters()
        weight.data.zero_()
        given.data = torch.tensor(bias)
    column = torch.zeros(2, 1)
    batch = dqn.Transitions(column, torch.zeros(2).long(), torch.ones(2), column, torch.tensor([0.0, 1.0]))

    assert dqn.td_target(agent, batch, args).tolist() == [6.0, 1.0]
    assert dqn.td_target(agent, batch, replace(args, double=True)).tolist() == [2.0, 1.0]


def test_losses_by_hand() -> None:
    """Errors 3 and −0.5: squares 9 and 0.25; Huber 2.5 and 0.125; weights count row by row."""
    q, target, weight = torch.tensor([3.0, -0.5]), torch.zeros(2), torch.tensor([0.5, 1.0])

    assert dqn.td_loss(q, target, None, dqn.Args()).item() == pytest.approx((9 + 0.25) / 2)
    assert dqn.td_loss(q, target, weight, dqn.Args()).item() == pytest.approx((4.5 + 0.25) / 2)
    assert dqn.td_loss(q, target, None, dqn.Args(huber=True)).item() == pytest.approx((2.5 + 0.125) / 2)


def test_a_target_follows_by_tau() -> None:
    """A quarter of the way from 0 to 4 is 1; all of it is exact."""
    online, target = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
    for module, number in ((online, 4.0), (target, 0.0)):
        torch.nn.init.constant_(module.weight, number)
    follow(target, online, 0.25)
    assert target.weight.item() == 1.0

    follow(target, online, 1.0)
    assert target.weight.item() == online.weight.item() == 4.0


def test_actions_are_scaled_to_their_box() -> None:
    """A box from −1 to 3 and one from 0 to 1: ends and middle; the critic may see either side of it."""
    box = ActionBox(np.array([-1.0, 0.0], np.float32), np.array([3.0, 1.0], np.float32))
    scaled = np.array([[-1, -1], [0, 0], [1, 1]], np.float32)
    args, obs = sac.Args(hidden=(4,)), torch.zeros(3, 2)
    inside = Critic(2, 2, args, torch.Generator().manual_seed(0))
    outside = Critic(2, 2, args, torch.Generator().manual_seed(0), box)

    assert box.to_env(scaled).tolist() == [[-1, 0], [1, 0.5], [3, 1]]
    assert torch.equal(outside(obs, torch.from_numpy(scaled)), inside(obs, torch.from_numpy(box.to_env(scaled))))
    drawn = box.random(1000, np.random.default_rng(0))
    assert drawn.min() < -0.98 < 0.98 < drawn.max()


@pytest.mark.parametrize("scale_actions", [True, False])
def test_the_density_of_sac_integrates_to_one(scale_actions: bool) -> None:
    """Over [−1, 1], or over the environment's [−2, 2]: the mean of uniform density / density of actions drawn is 1."""
    box = ActionBox(np.array([-2.0], np.float32), np.array([2.0], np.float32))
    args = sac.Args(hidden=(8,), scale_actions=scale_actions)
    agent = sac.Agent(3, box, args, torch.Generator().manual_seed(0))
    with torch.no_grad():
        obs = torch.randn(1, 3, generator=torch.Generator().manual_seed(1)).expand(200_000, 3)
        action, logprob = agent.sample(obs, torch.randn(200_000, 1, generator=torch.Generator().manual_seed(2)))

    # Within |a| < 0.9 no draw weighs much: its share of the line is what importance sampling must give.
    within = (action.abs() < 0.9).squeeze(-1)
    volume = 1.8 if scale_actions else 3.6
    assert ((-logprob).exp() * within).mean().item() == pytest.approx(volume, rel=0.02)


def test_priorities_are_the_last_errors() -> None:
    """After a gradient step the rows drawn hold (|Q(s, a) − y| + 1e-6)^α of before it, the others the highest."""
    args = dqn.Args(hidden=(8,), prioritized=True, batch_size=4, buffer_size=64, priority_alpha=0.5)
    buffer: Any = dqn.replay_buffer(vectors(3), args)
    rng = np.random.default_rng(0)
    normal = rng.standard_normal((64, 3)).astype(np.float32)
    none = np.zeros(64, bool)
    buffer.add(normal, rng.integers(2, size=64), Step(normal, normal[::-1].copy(), normal[:, 0], none, none, []))
    agent = dqn.Agent(vectors(3), 2, args, torch.Generator().manual_seed(0))
    rows = buffer.rows(np.arange(64))
    with torch.no_grad():
        q = agent.online(rows.obs).gather(-1, rows.action[:, None])[:, 0]
        error = (q - dqn.td_target(agent, rows, args)).abs().numpy()
    dqn.learn(agent, adam(agent.online.parameters(), 1e-3), buffer, 0, args)

    held = buffer.tree[np.arange(64)]
    drawn = held != 1.0
    assert 1 <= drawn.sum() <= 4
    assert held[drawn] == pytest.approx((error[drawn] + 1e-6) ** 0.5, rel=1e-4)


def continuous(module: Any, args: Any) -> tuple[Any, ActionBox, Any]:
    """An untrained agent for 3 observed numbers and 2 actions, its box, and a batch."""
    box = ActionBox(np.array([-1.0, 0.0], np.float32), np.array([3.0, 1.0], np.float32))
    agent = module.Agent(3, box, args, torch.Generator().manual_seed(0))
    draw = torch.Generator().manual_seed(1)
    obs, led = (torch.randn(16, 3, generator=draw) for _ in range(2))
    action = torch.rand(16, 2, generator=draw) * 2 - 1
    return agent, box, Transitions(obs, action, torch.randn(16, generator=draw), led, torch.zeros(16))


def steps_of(optimizers: Any, update: Any) -> list[list[int]]:
    """How many steps each optimizer has made after gradient steps 1, 2, 3 and 4."""
    made = dict.fromkeys(range(len(optimizers)), 0)
    for i, optimizer in enumerate(optimizers):
        optimizer.register_step_post_hook(lambda *_, i=i: made.update({i: made[i] + 1}))
    counts = []
    for number in range(1, 5):
        update(number)
        counts.append(list(made.values()))
    return counts


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, [[1, 1, 1], [2, 2, 2], [3, 3, 3], [4, 4, 4]]),
        ({"policy_frequency": 2}, [[0, 1, 1], [1, 2, 2], [1, 3, 3], [2, 4, 4]]),
        ({"policy_frequency": 2, "catch_up": True}, [[0, 1, 1], [2, 2, 2], [2, 3, 3], [4, 4, 4]]),
        ({"policy_frequency": 2, "temperature_first": False}, [[0, 1, 0], [1, 2, 1], [1, 3, 1], [2, 4, 2]]),
        (
            {"policy_frequency": 2, "catch_up": True, "temperature_first": False},
            [[0, 1, 0], [2, 2, 2], [2, 3, 2], [4, 4, 4]],
        ),
        ({"autotune": False}, [[1, 1, 0], [2, 2, 0], [3, 3, 0], [4, 4, 0]]),
    ],
    ids=str,
)
def test_how_often_actor_critics_and_temperature_of_sac_move(change: Any, expected: list[list[int]]) -> None:
    """For every setting of the delay: the actor waits, may catch up, and the temperature may go with it."""
    args = sac.Args(hidden=(8,), **change)
    agent, _, batch = continuous(sac, args)
    groups = (agent.actor.parameters(), agent.critics.parameters(), [agent.log_alpha])
    optimizers = sac.Optimizers(*(adam(group, 1e-3) for group in groups))
    rng = np.random.default_rng(0)

    assert steps_of(optimizers, lambda number: sac.update(agent, optimizers, batch, number, rng, args)) == expected


@pytest.mark.parametrize(("delay", "expected"), [(1, [1, 2, 3, 4]), (2, [0, 1, 1, 2]), (3, [0, 0, 1, 1])])
@pytest.mark.parametrize("name", ["ddpg", "td3"])
def test_the_actor_and_the_targets_wait(name: str, delay: int, expected: list[int]) -> None:
    """Every `policy_delay`-th step moves them; the critics move always."""
    module = RUNS[name][0]
    args = module.Args(hidden=(8,), policy_delay=delay, tau=0.5)
    agent, _, batch = continuous(module, args)
    critics = agent.critic if name == "ddpg" else agent.critics
    targets = agent.critic_target if name == "ddpg" else agent.critic_targets
    optimizers = ddpg.Optimizers(adam(agent.actor.parameters(), 1e-3), adam(critics.parameters(), 1e-3))
    first = [weight.clone() for weight in targets.parameters()]
    moved = []

    def update(number: int) -> None:
        noise = () if name == "ddpg" else (torch.zeros(16, 2),)
        module.update(agent, optimizers, batch, number, *noise, args)
        moved.append(any((now != then).any() for now, then in zip(targets.parameters(), first, strict=True)))

    assert steps_of(optimizers, update) == [[count, number] for number, count in enumerate(expected, 1)]
    assert moved == [count > 0 for count in expected]


@pytest.mark.parametrize("tanh_log_std", [True, False])
def test_acting_in_numpy_is_the_policy_of_the_loss(tanh_log_std: bool) -> None:
    """SAC's actor gives the actions that `sample` gives for the same noise, before and after the weights move."""
    agent, _, batch = continuous(sac, sac.Args(hidden=(8, 8), tanh_log_std=tanh_log_std))
    obs = batch.obs.numpy()
    for _ in range(2):
        act = sac.actor(agent, 2, np.random.default_rng(5))
        with torch.no_grad():
            noise = torch.from_numpy(np.random.default_rng(5).standard_normal((16, 2), np.float32))
            expected, _ = agent.sample(batch.obs, noise)
            mode, _ = agent.sample(batch.obs, torch.zeros(16, 2))
            assert act(obs, False) == pytest.approx(expected.numpy(), abs=1e-6)
            assert act(obs, True) == pytest.approx(mode.numpy(), abs=1e-6)
            for weight in agent.actor.parameters():
                weight += 0.1


def test_the_bounds_of_log_sigma() -> None:
    """A tanh of −1, 0 and 1 is the lower bound, the middle and the upper one."""
    assert [sac.squash(tanh) for tanh in (-1.0, 0.0, 1.0)] == [-5.0, -1.5, 2.0]


# What the user can mend


@pytest.mark.parametrize("name", ["ddpg", "td3", "sac"])
def test_discrete_actions_are_refused(name: str) -> None:
    """By the algorithms for continuous ones, in one sentence with the remedy."""
    module, args = RUNS[name]
    with pytest.raises(InputError, match=r"action space is Discrete\(2\).* needs Box; use dqn or ppo"):
        module.train(replace(args, env_id="CartPole-v1"))


def test_continuous_actions_are_refused_by_dqn() -> None:
    """With the algorithms to use."""
    with pytest.raises(InputError, match="needs Discrete; use ddpg, td3 or sac for continuous actions"):
        dqn.train(dqn.Args(env_id="Pendulum-v1"))


@pytest.mark.parametrize(
    ("space", "said"),
    [
        (gymnasium.spaces.Box(-np.inf, np.inf, (1,)), "not bounded, and actions are scaled to its bounds"),
        (gymnasium.spaces.Box(0, 5, (1,), np.int64), "holds whole numbers, and this algorithm tries real ones"),
        (gymnasium.spaces.Box(0, 1, (2, 2)), r"has the shape \(2, 2\), and this algorithm needs vectors"),
    ],
    ids=str,
)
def test_boxes_that_do_not_fit_are_refused(space: gymnasium.spaces.Box, said: str) -> None:
    """No bounds to scale by, whole numbers, a matrix."""

    class Odd(gymnasium.Env[Any, Any]):
        observation_space = gymnasium.spaces.Box(-1, 1, (1,))
        action_space = space

        def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
            return np.zeros(1, np.float32), {}

    with pytest.raises(InputError, match=said):
        ActionBox.of(VectorEnv(Odd, 1, 0), "")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"batch_size": 0}, "batch_size must be positive, got 0"),
        ({"gradient_steps": -1}, "gradient_steps must be positive, got -1"),
        ({"gamma": 1.5}, "gamma must be between 0 and 1, got 1.5"),
        ({"tau": -0.1}, "tau must be between 0 and 1, got -0.1"),
        ({"learning_starts": 400}, "400 steps end before learning starts, after 400"),
        ({"buffer_size": 1}, "buffer_size 1 does not hold one step of 2 environments"),
    ],
    ids=str,
)
@pytest.mark.parametrize("name", RUNS)
def test_sizes_are_checked(name: str, change: dict[str, Any], said: str) -> None:
    """Before anything is made."""
    module, args = RUNS[name]
    with pytest.raises(InputError, match=said):
        module.train(replace(args, **change))


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (dqn.Args(target_frequency=0), "target_frequency must be positive"),
        (dqn.Args(end_e=2.0), "end_e must be between 0 and 1"),
        (ddpg.Args(policy_delay=0), "policy_delay must be positive"),
        (td3.Args(noise_clip=-0.5), "noise_clip must be not negative"),
        (sac.Args(alpha=0.0), "alpha must be positive"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__module__,
)
def test_own_fields_are_checked(args: Any, said: str) -> None:
    """Those of one algorithm alone."""
    with pytest.raises(InputError, match=said):
        args.check()
