"""DQN, DDPG, TD3 and SAC are Stable-Baselines3's: same weights, batches and noise give the same next weights.

Single updates are compared, and a short run from its first step: when learning starts, how often it happens, when
targets move, what is stored of an episode's end, that a timeout bootstraps. Both compute in float64, so that only
rounding may differ. Every switch that departs from Stable-Baselines3, and every detail left out of the code, must break
the equality.
"""

from __future__ import annotations

import inspect
import runpy
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from torch import Tensor

from rlpath.core.seeding import derive
from rlpath.deep import ddpg, dqn, sac, td3
from rlpath.deep.parts.off_policy import ActionBox, adam
from rlpath.deep.parts.replay import ReplayBuffer, Transitions

pytest.importorskip("stable_baselines3")
import stable_baselines3 as sb3
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.type_aliases import ReplayBufferSamples

Array = np.ndarray[Any, Any]
PENDULUM, CARTPOLE = "ShortPendulum-v0", "ShortCartPole-v0"
gymnasium.register(PENDULUM, "gymnasium.envs.classic_control:PendulumEnv", max_episode_steps=15)
gymnasium.register(CARTPOLE, "gymnasium.envs.classic_control:CartPoleEnv", max_episode_steps=12)
SMALL: Any = {"hidden": (16, 12), "batch_size": 32, "buffer_size": 50, "learning_starts": 20}
PACE: Any = {"train_frequency": 3, "gradient_steps": 2, "total_timesteps": 61}
ARGS: dict[str, Any] = {
    "dqn": dqn.Args(
        **SMALL,
        **PACE,
        env_id=CARTPOLE,
        huber=True,
        max_grad_norm=0.1,
        learning_rate=2e-3,
        target_first=True,
        random_start=True,
        target_frequency=10,
        tau=0.7,
    ),
    "ddpg": ddpg.Args(**SMALL, **PACE, env_id=PENDULUM, tau=0.1),
    "td3": td3.Args(**SMALL, **PACE, env_id=PENDULUM, tau=0.1),
    "sac": sac.Args(**SMALL, **PACE, env_id=PENDULUM, tau=0.1, alpha=0.5),
}
ALGORITHMS = list(ARGS)


class Theirs:
    """Stable-Baselines3's model for our arguments."""

    def __init__(self, args: Any) -> None:
        names = {"batch_size": "batch_size", "buffer_size": "buffer_size", "learning_starts": "learning_starts"}
        names |= {"gamma": "gamma", "tau": "tau", "train_freq": "train_frequency", "gradient_steps": "gradient_steps"}
        settings: dict[str, Any] = {name: getattr(args, field) for name, field in names.items()}
        settings |= {"policy_kwargs": {"net_arch": list(args.hidden)}, "device": "cpu", "seed": args.seed}
        self.kind = type(args).__module__.rsplit(".", 1)[1]
        if isinstance(args, dqn.Args):
            settings |= {"max_grad_norm": args.max_grad_norm, "target_update_interval": args.target_frequency}
        elif isinstance(args, td3.Args):
            settings |= {"target_policy_noise": args.policy_noise, "target_noise_clip": args.noise_clip}
            settings |= {"policy_delay": args.policy_delay}
        elif isinstance(args, sac.Args):
            settings["ent_coef"] = f"auto_{args.alpha}" if args.autotune else args.alpha
        settings["learning_rate"] = args.q_lr if isinstance(args, sac.Args) else args.learning_rate
        self.model: Any = getattr(sb3, self.kind.upper())("MlpPolicy", args.env_id, **settings)
        self.model.set_logger(Logger(None, []))
        self.gradients: list[list[Tensor]] = []
        for optimizer in self.optimizers():
            record(optimizer, self.gradients, self.joined)

    def optimizers(self) -> list[torch.optim.Optimizer]:
        """In the order of ours."""
        if self.kind == "dqn":
            return [self.model.policy.optimizer]
        own = [self.model.ent_coef_optimizer] if self.kind == "sac" and self.model.ent_coef_optimizer else []
        return [self.model.actor.optimizer, self.model.critic.optimizer, *own]

    def weights(self) -> list[Tensor]:
        """In the order of ours."""
        model = self.model
        if self.kind == "dqn":
            return [*model.q_net.parameters(), *model.q_net_target.parameters()]
        if self.kind == "sac":
            log_alpha = model.ent_coef_tensor.log() if model.log_ent_coef is None else model.log_ent_coef[0]
            critics = [*model.critic.parameters(), *model.critic_target.parameters()]
            return [log_alpha, *self.joined([*model.actor.parameters()]), *critics]
        online = [*model.actor.parameters(), *model.critic.parameters()]
        return [*online, *model.actor_target.parameters(), *model.critic_target.parameters()]

    def joined(self, tensors: list[Tensor]) -> list[Tensor]:
        """Weights or gradients of one optimizer; μ and log σ, two layers of SAC's actor there, as the one of ours."""
        if self.kind == "sac" and len(tensors) == 8:
            *body, mean_w, mean_b, std_w, std_b = tensors
            return [*body, torch.cat([mean_w, std_w]), torch.cat([mean_b, std_b])]
        return [tensor[0] if tensor.shape == (1,) and len(tensors) == 1 else tensor for tensor in tensors]

    def to(self, dtype: torch.dtype) -> None:
        """Compute in `dtype`."""
        self.model.policy.to(dtype)
        if self.kind == "sac" and self.model.log_ent_coef is not None:
            self.model.log_ent_coef.data = self.model.log_ent_coef.data.to(dtype)

    def stir(self) -> None:
        """Move every weight, so that targets differ from what they follow."""
        generator = torch.Generator().manual_seed(5)
        for weight in self.model.policy.parameters():
            weight.data += 0.1 * torch.randn(weight.shape, generator=generator, dtype=weight.dtype)

    def update(self, batches: list[Transitions], monkeypatch: pytest.MonkeyPatch) -> None:
        """One gradient step for each batch."""
        left = iter(batches)
        monkeypatch.setattr(self.model.replay_buffer, "sample", lambda *_, **__: as_samples(next(left)))
        self.model.train(gradient_steps=len(batches), batch_size=len(batches[0].reward))

    @property
    def losses(self) -> dict[str, float]:
        """Means over the gradient steps of the last `update`, under our names."""
        names = {"train/loss": "td_loss", "train/critic_loss": "qf_loss", "train/actor_loss": "actor_loss"}
        names["train/ent_coef"] = "alpha"
        logged = self.model.logger.name_to_value
        return {ours: logged[theirs] for theirs, ours in names.items() if theirs in logged}


class Ours:
    """Our agent, its optimizers and its update."""

    def __init__(self, args: Any, dtype: torch.dtype) -> None:
        self.args = args
        env = gymnasium.make(args.env_id)
        inputs, generator = (env.observation_space.shape or (0,))[0], torch.Generator().manual_seed(1)
        self.rng: Any = Noise()
        self.gradients: list[list[Tensor]] = []
        if isinstance(args, dqn.Args):
            self.agent: Any = dqn.Agent(env.observation_space, 2, args, generator).to(dtype)
            groups, rates = [self.agent.online.parameters()], [args.learning_rate]
        else:
            space: Any = env.action_space
            module: Any = {ddpg.Args: ddpg, td3.Args: td3, sac.Args: sac}[type(args)]
            self.agent = module.Agent(inputs, ActionBox(space.low, space.high), args, generator).to(dtype)
            critics = self.agent.critic if module is ddpg else self.agent.critics
            groups = [self.agent.actor.parameters(), critics.parameters()]
            rates = [args.policy_lr, args.q_lr] if isinstance(args, sac.Args) else [args.learning_rate] * 2
            if isinstance(args, sac.Args) and args.autotune:
                groups, rates = [*groups, iter([self.agent.log_alpha])], [*rates, args.q_lr]
        self.optimizers = [adam(group, rate) for group, rate in zip(groups, rates, strict=True)]
        for optimizer in self.optimizers:
            record(optimizer, self.gradients)

    def take(self, weights: list[Tensor]) -> None:
        """Start from `weights`."""
        with torch.no_grad():
            for own, given in zip(self.agent.parameters(), weights, strict=True):
                own.copy_(given)

    def update(self, batches: list[Transitions]) -> dict[str, float]:
        """One gradient step for each batch; the means of the figures."""
        seen: dict[str, list[float]] = {}
        for number, batch in enumerate(batches, 1):
            for name, value in self._step(batch, number).items():
                seen.setdefault(name.removeprefix("losses/"), []).append(value.item())
        return {name: float(np.mean(values)) for name, values in seen.items()}

    def _step(self, batch: Transitions, number: int) -> dict[str, Tensor]:
        args, agent = self.args, self.agent
        if isinstance(args, dqn.Args):
            return dqn.update(agent, self.optimizers[0], batch, None, args)[0]
        if isinstance(args, sac.Args):
            optimizers: Any = [*self.optimizers, None][:3]
            return sac.update(agent, sac.Optimizers(*optimizers), batch, number, self.rng, args)
        noise = torch.from_numpy(self.rng.standard_normal(tuple(batch.action.shape)))
        optimizers = ddpg.Optimizers(*self.optimizers)
        if isinstance(args, td3.Args):
            return td3.update(agent, optimizers, batch, number, noise, args)
        return ddpg.update(agent, optimizers, batch, number, args)


class Noise:
    """The same standard normal numbers for both, in float64."""

    def __init__(self, seed: int = 3) -> None:
        self.rng = np.random.default_rng(seed)

    def standard_normal(self, shape: tuple[int, ...], _: Any = None) -> Array:
        """The next numbers."""
        return self.rng.standard_normal(shape)


def record(
    optimizer: torch.optim.Optimizer,
    gradients: list[list[Tensor]],
    joined: Callable[[list[Tensor]], list[Tensor]] = list,
) -> None:
    """Keep the gradients with which `optimizer` steps."""

    def keep(*_: Any) -> None:
        gradients.append(joined([w.grad.clone() for group in optimizer.param_groups for w in group["params"]]))

    optimizer.register_step_pre_hook(keep)


def as_samples(batch: Transitions) -> ReplayBufferSamples:
    """Our batch as Stable-Baselines3's."""
    action = batch.action[:, None] if batch.action.ndim == 1 else batch.action
    return ReplayBufferSamples(batch.obs, action, batch.final_obs, batch.terminated[:, None], batch.reward[:, None])


def give_noise(monkeypatch: pytest.MonkeyPatch, rng: Any) -> None:
    """Let Stable-Baselines3 draw its normal noise from `rng`: SAC's through torch's Normal, TD3's in place."""

    def draw(shape: Any) -> Tensor:
        return torch.from_numpy(rng.standard_normal(tuple(shape), np.float32))

    normal = "torch.distributions.normal._standard_normal"
    monkeypatch.setattr(normal, lambda shape, dtype, device=None: draw(shape).to(dtype))
    monkeypatch.setattr(Tensor, "normal_", lambda own, _, std: own.copy_(std * draw(own.shape)))


def batches(args: Any, count: int, dtype: torch.dtype) -> list[Transitions]:
    """Random transitions; a fifth of them terminated."""
    draw = torch.Generator().manual_seed(9)
    rows = args.batch_size

    def normal(width: int) -> Tensor:
        return torch.randn((rows, width), generator=draw, dtype=dtype)

    made = []
    for _ in range(count):
        if isinstance(args, dqn.Args):
            obs, action = 4, torch.randint(2, (rows,), generator=draw)
        else:
            obs, action = 3, normal(1).tanh()
        ended = (torch.rand(rows, generator=draw) < 0.2).to(dtype)
        made.append(Transitions(normal(obs), action, 5 * normal(1)[:, 0], normal(obs), ended))
    return made


def both(args: Any, theirs: Any, count: int, monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype) -> tuple[Any, ...]:
    """`count` updates by ours with `args` and by Stable-Baselines3 with those of `theirs`, from equal weights."""
    reference, own = Theirs(theirs), Ours(args, dtype)
    reference.stir()
    reference.to(dtype)
    own.take(reference.weights())
    # It would turn observations into float32.
    monkeypatch.setattr("stable_baselines3.common.policies.preprocess_obs", lambda obs, *_, **__: obs)
    data = batches(args, count, dtype)
    losses = own.update(data)
    give_noise(monkeypatch, Noise())
    reference.update(data, monkeypatch)
    return own, reference, losses


def distance(ours: Iterator[Tensor], theirs: list[Tensor]) -> float:
    """The largest difference between two lists of tensors."""
    pairs = zip(ours, theirs, strict=True)
    return max((own - their).abs().max().item() for own, their in pairs)


@pytest.mark.parametrize("count", [1, 6])
@pytest.mark.parametrize("name", ALGORITHMS)
def test_updates_are_equal(name: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loss terms, every gradient and all weights (targets and temperature too) after one update and after six."""
    own, reference, losses = both(ARGS[name], ARGS[name], count, monkeypatch, torch.float64)

    assert distance(own.agent.parameters(), reference.weights()) < 1e-10
    assert len(own.gradients) == len(reference.gradients) >= count
    by_size = [sorted(made, key=lambda step: len(step)) for made in (own.gradients[:3], reference.gradients[:3])]
    for ours, theirs in zip(*by_size, strict=True):
        assert distance(iter(ours), theirs) < 1e-9
    for term, value in reference.losses.items():
        assert losses[term] == pytest.approx(value, rel=1e-9), term
    assert len(reference.losses) == {"dqn": 1, "ddpg": 2, "td3": 1 if count == 1 else 2, "sac": 3}[name]


DIFFERENCES = [
    ("dqn", {"huber": False}),
    ("dqn", {"max_grad_norm": float("inf")}),
    ("dqn", {"double": True}),
    ("ddpg", {"policy_delay": 2}),
    ("ddpg", {"scale_actions": False}),
    ("td3", {"policy_delay": 1}),
    ("td3", {"policy_noise": 0.0}),
    ("td3", {"noise_clip": 0.1}),
    ("td3", {"scale_actions": False}),
    ("sac", {"halve_critic_loss": False}),
    ("sac", {"temperature_first": False}),
    ("sac", {"tanh_log_std": True}),
    ("sac", {"scale_actions": False}),
    ("sac", {"policy_frequency": 2}),
    ("sac", {"policy_frequency": 2, "catch_up": True}),
    ("sac", {"target_entropy": -2.0}),
    ("sac", {"autotune": False}),
]


@pytest.mark.parametrize(("name", "change"), DIFFERENCES, ids=str)
def test_each_switch_departs(name: str, change: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Against Stable-Baselines3 with its own setting, every switch changes what two updates lead to.

    The scale of a loss hardly shows through Adam, so the bound is a thousand times that of equality, not more.
    """
    own, reference, _ = both(replace(ARGS[name], **change), ARGS[name], 2, monkeypatch, torch.float64)

    assert distance(own.agent.parameters(), reference.weights()) > 1e-7


@pytest.mark.parametrize("change", [{"autotune": False}, {"alpha": 0.05}])
def test_temperatures_of_sac_are_equal(change: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A fixed temperature, and another start of a learned one."""
    args = replace(ARGS["sac"], **change)
    own, reference, _ = both(args, args, 3, monkeypatch, torch.float64)

    assert distance(own.agent.parameters(), reference.weights()) < 1e-10


def test_ddpg_is_td3_without_its_corrections() -> None:
    """With one delay, no noise and equal critics, TD3's update is DDPG's."""
    plain = ARGS["ddpg"]
    common = {name: getattr(plain, name) for name in ("hidden", "batch_size", "env_id", "tau")}
    twin = Ours(td3.Args(**common, policy_delay=1, policy_noise=0.0), torch.float64)
    single = Ours(plain, torch.float64)
    for first, second in zip(twin.agent.critics, twin.agent.critic_targets, strict=True):
        first.load_state_dict(single.agent.critic.state_dict())
        second.load_state_dict(single.agent.critic_target.state_dict())
    twin.agent.actor.load_state_dict(single.agent.actor.state_dict())
    twin.agent.actor_target.load_state_dict(single.agent.actor_target.state_dict())

    data = batches(plain, 3, torch.float64)
    twin.update(data)
    single.update(data)

    assert distance(twin.agent.actor_target.parameters(), [*single.agent.actor_target.parameters()]) < 1e-12
    assert distance(twin.agent.critics[1].parameters(), [*single.agent.critic.parameters()]) < 1e-12


# A short run from its first step


def wide(column: Tensor) -> Tensor:
    """Floats as float64, whole numbers as they are."""
    return column.double() if column.is_floating_point() else column


def scripted(args: Any) -> Iterator[Array]:
    """The actions both take, whatever they have learned, (1,) or (1, 1)."""
    rng = np.random.default_rng(11)
    while True:
        yield rng.integers(2, size=1) if isinstance(args, dqn.Args) else rng.uniform(-1, 1, (1, 1)).astype(np.float32)


def run_ours(args: Any, start: list[Tensor], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Our `train` from weights `start`, with scripted actions and draws from the buffer."""
    module: Any = {dqn.Args: dqn, ddpg.Args: ddpg, td3.Args: td3, sac.Args: sac}[type(args)]
    actions, rows = scripted(args), np.random.default_rng(12)
    make = module.Agent

    def agent(*words: Any) -> Any:
        made = make(*words).double()
        with torch.no_grad():
            for own, given in zip(made.parameters(), start, strict=True):
                own.copy_(given)
        return made

    def sample(buffer: ReplayBuffer, size: int) -> Transitions:
        return Transitions(*map(wide, buffer.rows(rows.integers(len(buffer), size=size))))

    with monkeypatch.context() as patch:
        patch.setattr(module, "Agent", agent)
        patch.setattr(ReplayBuffer, "sample", sample)
        # TD3 and DDPG put noise on random actions, so that these too come out of `explore`.
        patch.setattr(ActionBox, "random", lambda *_: next(actions) if module is sac else None)
        patch.setattr(module, "explore", lambda *_: next(actions), raising=False)
        patch.setattr(sac, "actor", lambda *_: lambda *_: next(actions))
        return module.train(args)


def run_theirs(args: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[Theirs, list[Tensor]]:
    """Stable-Baselines3's `learn` with the same script, and the weights it started from."""
    reference = Theirs(args)
    reference.to(torch.float64)
    model, actions, rows = reference.model, scripted(args), np.random.default_rng(12)
    start = [weight.detach().clone() for weight in reference.weights()]

    def act(*_: Any) -> tuple[Array, Array]:
        action = next(actions)
        return (action if isinstance(args, dqn.Args) else model.policy.unscale_action(action)), action

    def sample(size: int, env: Any = None) -> ReplayBufferSamples:
        buffer = model.replay_buffer
        obs, action, following, done, reward, *_ = buffer._get_samples(rows.integers(buffer.size(), size=size), env=env)
        return ReplayBufferSamples(*map(wide, (obs, action, following, done, reward)))

    monkeypatch.setattr("stable_baselines3.common.policies.preprocess_obs", lambda obs, *_, **__: obs)
    give_noise(monkeypatch, np.random.default_rng(derive(args.seed, reference.kind)))
    monkeypatch.setattr(model, "_sample_action", act)
    monkeypatch.setattr(model.replay_buffer, "sample", sample)
    model.learn(args.total_timesteps)
    return reference, start


@pytest.mark.parametrize("name", ALGORITHMS)
def test_short_runs_are_equal(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """63 steps in rounds of three, over ends, timeouts and the buffer's capacity: the same weights come out."""
    args = ARGS[name]
    reference, start = run_theirs(args, monkeypatch)
    result = run_ours(args, start, monkeypatch)

    assert result.steps == reference.model.num_timesteps == 63
    moved = distance(iter(start), reference.weights())
    assert distance(result.agent.parameters(), reference.weights()) < 1e-6 < 5e-3 < moved


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("dqn", {"target_first": False}),
        ("dqn", {"target_frequency": 15}),
        ("dqn", {"learning_starts": 21}),
        ("td3", {"train_frequency": 1}),
        ("sac", {"gradient_steps": 1}),
        ("sac", {"buffer_size": 60}),
    ],
    ids=str,
)
def test_each_change_of_pace_departs(name: str, change: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """When learning starts, its rhythm, and when the target moves all show in the weights of the short run."""
    reference, start = run_theirs(ARGS[name], monkeypatch)
    result = run_ours(replace(ARGS[name], **change), start, monkeypatch)

    assert distance(result.agent.parameters(), reference.weights()) > 1e-5


# Details left out of the code


def mutate(owner: Any, function: str, before: str, after: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace `before` by `after` in the source of a function of a module, or of a method of a class."""
    original = getattr(owner, function)
    source = textwrap.dedent(inspect.getsource(original))
    assert before in source
    # `super()` is not used in what is mutated, so a plain function will do for a method.
    edited = folder / f"{function}.py"
    edited.write_text("from __future__ import annotations\n" + source.replace(before, after))
    namespace = runpy.run_path(str(edited), init_globals=dict(inspect.unwrap(original).__globals__))
    monkeypatch.setattr(owner, function, namespace[function])


MUTATIONS = [
    ("dqn", dqn, "td_target", "agent.target(", "agent.online("),
    ("dqn", dqn, "td_target", "(1 - batch.terminated)", "1"),
    ("ddpg", ddpg, "td_target", "agent.critic_target(", "agent.critic("),
    ("ddpg", ddpg, "td_target", "agent.actor_target(", "agent.actor("),
    ("ddpg", ddpg, "td_target", "(1 - batch.terminated)", "1"),
    ("ddpg", ddpg, "update", "follow(agent.actor_target, agent.actor, args.tau)", "pass"),
    ("ddpg", ddpg, "update", "follow(agent.critic_target, agent.critic, args.tau)", "pass"),
    ("td3", td3, "td_target", "torch.min(first, second)", "first"),
    ("td3", td3, "td_target", "agent.critic_targets", "agent.critics"),
    ("td3", td3, "td_target", "agent.actor_target(", "agent.actor("),
    ("td3", td3, "td_target", " + smoothing", ""),
    ("td3", td3, "td_target", "(1 - batch.terminated)", "1"),
    ("td3", td3, "update", "if number % args.policy_delay == 0:", "if True:"),
    ("td3", td3, "update", "agent.critics[0]", "agent.critics[1]"),
    ("td3", td3, "update", "follow(agent.critic_targets, agent.critics, args.tau)", "pass"),
    ("sac", sac, "soft_target", " - alpha * logprob", ""),
    ("sac", sac, "soft_target", "agent.targets", "agent.critics"),
    ("sac", sac, "soft_target", "(1 - batch.terminated)", "1"),
    ("sac", sac, "actor_loss", "alpha * logprob - ", "-"),
    ("sac", sac, "actor_loss", "agent.smaller(agent.critics,", "agent.critics[0]("),
    ("sac", sac, "alpha_loss", " + agent.target_entropy", ""),
    ("sac", sac, "update", "follow(agent.targets, agent.critics, args.tau)", "pass"),
    ("sac", sac.Agent, "smaller", "torch.min(", "torch.max("),
    ("sac", sac.Agent, "sample", " - torch.log(self.scale * (1 - action.square()) + 1e-6)", ""),
]


@pytest.mark.parametrize(("name", "owner", "function", "before", "after"), MUTATIONS)
def test_each_detail_left_out_of_an_update_departs(
    name: str, owner: Any, function: str, before: str, after: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two updates from equal weights no longer end in equal weights."""
    mutate(owner, function, before, after, tmp_path, monkeypatch)
    own, reference, _ = both(ARGS[name], ARGS[name], 2, monkeypatch, torch.float64)

    assert distance(own.agent.parameters(), reference.weights()) > 1e-7


@pytest.mark.parametrize(
    ("name", "owner", "function", "before", "after"),
    [
        ("dqn", ReplayBuffer, "add", "step.terminated", "step.done"),
        ("ddpg", ReplayBuffer, "add", "step.terminated", "step.done"),
        ("ddpg", ReplayBuffer, "add", "step.final_obs", "step.obs"),
        ("dqn", dqn, "renew", "args.renewals(step)", "0"),
        ("dqn", dqn.Args, "renewals", "step // self.target_frequency - ", "step // self.target_frequency + 1 - "),
        ("sac", sac.Args, "gradient_numbers", "if before >= 0", "if before >= 2"),
    ],
)
def test_each_detail_left_out_of_a_run_departs(
    name: str, owner: Any, function: str, before: str, after: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Short runs: timeouts, where an action led, the target's rhythm, the start."""
    reference, start = run_theirs(ARGS[name], monkeypatch)
    mutate(owner, function, before, after, tmp_path, monkeypatch)
    result = run_ours(ARGS[name], start, monkeypatch)

    assert distance(result.agent.parameters(), reference.weights()) > 1e-5
