"""Time PPO with the same hyperparameters: rlpath's readable file, its batched one, Stable-Baselines3, CleanRL's way.

    python scripts/bench_ppo.py --steps 100000 --repeats 3

Three ways to use the machine: one process of one thread; one of two threads; and two processes of one thread each,
which is how seeds are best run on two cores. Every arm trains `steps` environment steps a seed, and the last-100 mean
of its training episodes stands beside its speed. The batched arm trains `at_once` seeds in each process, the others
one. Arms are interleaved and repeated with other seeds. Start-up (imports, one small rollout) is not timed.

CleanRL's package does not install on Python 3.11. Its algorithm is written out below from its published description
(https://docs.cleanrl.dev/rl-algorithms/ppo/): plain torch, a forward pass a step, Gymnasium's vector environment.
"""

from __future__ import annotations

import json
import os
import runpy
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import tyro

from rlpath.core.errors import InputError, run_command
from rlpath.runs.hardware import cores, cpu_name
from rlpath.runs.provenance import package_versions, revision

Arm = Literal["batched", "readable", "sb3", "cleanrl"]
Way = Literal["1 thread", "2 threads", "2 processes"]
ARMS: tuple[Arm, ...] = ("batched", "readable", "sb3", "cleanrl")
WAYS: tuple[Way, ...] = ("1 thread", "2 threads", "2 processes")
RECIPE = Path(__file__).resolve().parent.parent / "recipes" / "ppo.py"


@dataclass(frozen=True)
class Args:
    preset: str = "cartpole"
    """hyperparameters, of recipes/ppo.py"""
    steps: int = 100_000
    """environment steps a seed"""
    repeats: int = 3
    """times that every arm is run"""
    arms: tuple[Arm, ...] = ARMS
    """what to time"""
    ways: tuple[Way, ...] = WAYS
    """how to use the machine"""
    at_once: int = 10
    """seeds the batched arm trains in one process"""
    out: Path | None = None
    """file for every figure, as JSON"""


def main() -> int:
    if sys.argv[1:2] == ["--process"]:
        return process(*sys.argv[2:])
    args = tyro.cli(Args)
    if args.out is not None and not args.out.parent.is_dir():
        raise InputError(f"--out {args.out}: there is no folder {args.out.parent}")
    settings = hyperparameters(args)
    rows = []
    for repeat in range(args.repeats):
        for way in args.ways:
            for arm in args.arms:
                rows.append(measure(arm, way, repeat, settings, args))
                print(f"repeat {repeat + 1}: {describe(rows[-1])}", flush=True)
    print(f"\n{table(rows, args)}")
    if args.out is not None:
        facts = {"cpu": cpu_name(), "cores": cores(), "packages": package_versions(), "git": revision(RECIPE)}
        facts |= {"settings": settings, "arguments": {**asdict(args), "out": str(args.out)}}
        args.out.write_text(json.dumps({**facts, "rows": rows}, indent=1) + "\n")
    return 0


def hyperparameters(args: Args) -> dict[str, Any]:
    """The recipe's preset, cut to `steps`."""
    presets = runpy.run_path(str(RECIPE))["PRESETS"]
    if args.preset not in presets:
        raise InputError(f"--preset {args.preset} is not one of {', '.join(presets)}")
    chosen = replace(presets[args.preset], total_timesteps=args.steps, checkpoint_every=0)
    chosen.check()
    return asdict(chosen)


# Measuring


def measure(arm: Arm, way: Way, repeat: int, settings: dict[str, Any], args: Args) -> dict[str, Any]:
    """Run one arm in processes of its own, all training at the same time; steps a second over all of them."""
    count = 2 if way == "2 processes" else 1
    threads = "2" if way == "2 threads" else "1"
    seeds = args.at_once if arm == "batched" else 1
    first = 100 * repeat
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
    running: list[subprocess.Popen[str]] = []
    try:
        for i in range(count):
            given = json.dumps(list(range(first + i * seeds, first + (i + 1) * seeds)))
            words = [sys.executable, __file__, "--process", arm, threads, given, json.dumps(settings)]
            pipe = subprocess.PIPE
            running.append(subprocess.Popen(words, env=environment, stdin=pipe, stdout=pipe, text=True))
        for each in running:
            expect(each, "READY")
        for each in running:
            assert each.stdin is not None
            each.stdin.write("go\n")
            each.stdin.flush()
        results = [json.loads(expect(each, "RESULT")) for each in running]
    finally:
        for each in running:
            each.kill()
            each.communicate()
    seconds = max(result["seconds"] for result in results)
    steps = sum(result["steps"] for result in results)
    return {
        "arm": arm,
        "way": way,
        "repeat": repeat,
        "steps": steps,
        "seconds": seconds,
        "cpu_s": sum(result["cpu_s"] for result in results),
        "steps_per_s": steps / seconds,
        "returns": [value for result in results for value in result["returns"]],
    }


def expect(running: subprocess.Popen[str], word: str) -> str:
    """What follows `word` in the process's output."""
    for line in running.stdout or ():
        if line.startswith(word):
            return line.removeprefix(word)
    raise SystemExit("a process of an arm ended before its time; its message is above")


def process(arm: str, threads: str, seeds: str, settings: str) -> int:
    """One process of an arm: warm up, wait for the word, train, say how long it took."""
    import torch

    from rlpath.deep.ppo import Args as PPO

    torch.set_num_threads(int(threads))
    fields: dict[str, Any] = json.loads(settings)
    args, train = PPO(**{**fields, "hidden": tuple(fields["hidden"])}), TRAIN[arm]
    train(replace(args, total_timesteps=args.batch_size), json.loads(seeds))
    print("READY", flush=True)
    sys.stdin.readline()
    began, cpu_began = time.perf_counter(), time.process_time()
    steps, returns = train(args, json.loads(seeds))
    seconds, cpu_s = time.perf_counter() - began, time.process_time() - cpu_began
    result = {"seconds": seconds, "cpu_s": cpu_s, "steps": steps, "returns": returns}
    print("RESULT " + json.dumps(result), flush=True)
    return 0


# The arms: each trains the seeds it is given and returns the steps taken and the last-100 mean of each seed


def train_batched(args: Any, seeds: list[int]) -> tuple[int, list[float]]:
    from rlpath.deep.batched import ppo_batched

    results = ppo_batched.train_batched(args, seeds)
    return sum(result.steps for result in results), [result.last(100) for result in results]


def train_readable(args: Any, seeds: list[int]) -> tuple[int, list[float]]:
    from rlpath.deep import ppo

    results = [ppo.train(replace(args, seed=seed)) for seed in seeds]
    return sum(result.steps for result in results), [result.last(100) for result in results]


def train_sb3(args: Any, seeds: list[int]) -> tuple[int, list[float]]:
    from stable_baselines3 import PPO
    from stable_baselines3.common.env_util import make_vec_env

    steps, returns = 0, []
    for seed in seeds:
        model = PPO(
            "MlpPolicy",
            make_vec_env(args.env_id, args.num_envs, seed),
            learning_rate=(lambda left: args.learning_rate * left) if args.anneal_lr else args.learning_rate,
            n_steps=args.num_steps,
            batch_size=args.batch_size // args.num_minibatches,
            n_epochs=args.update_epochs,
            gamma=args.gamma,
            gae_lambda=args.gae_lambda,
            clip_range=args.clip_coef,
            clip_range_vf=args.clip_coef if args.clip_vloss else None,
            normalize_advantage=args.norm_adv,
            ent_coef=args.ent_coef,
            vf_coef=args.vf_coef / 2,  # of an error that is not halved
            max_grad_norm=args.max_grad_norm,
            policy_kwargs={"net_arch": list(args.hidden)},
            seed=seed,
            device="cpu",
        )
        # Rounded down to whole rollouts, as the other arms do.
        model.learn(args.num_iterations * args.batch_size)
        steps += model.num_timesteps
        returns.append(mean_return([episode["r"] for episode in model.ep_info_buffer or ()]))
    return steps, returns


def mean_return(returns: Sequence[float]) -> float:
    """Of the last 100 episodes; NaN before the first."""
    return float(statistics.fmean(returns[-100:])) if returns else float("nan")


def train_cleanrl(args: Any, seeds: list[int]) -> tuple[int, list[float]]:
    taken = [cleanrl(args, seed) for seed in seeds]
    return args.num_iterations * args.batch_size * len(seeds), [mean_return(returns) for returns in taken]


def cleanrl(args: Any, seed: int) -> list[float]:
    """PPO as CleanRL describes it, in plain torch; the returns of all training episodes."""
    import gymnasium
    import numpy as np
    import torch
    from gymnasium.vector import AutoresetMode, SyncVectorEnv
    from torch import nn
    from torch.distributions import Categorical

    from rlpath.core.seeding import seed_everything

    def layer(inputs: int, outputs: int, gain: float) -> nn.Linear:
        made = nn.Linear(inputs, outputs)
        nn.init.orthogonal_(made.weight, gain)
        nn.init.zeros_(made.bias)
        return made

    def network(outputs: int, last_gain: float) -> nn.Sequential:
        sizes = (envs.single_observation_space.shape[0], *args.hidden)
        hidden = [module for a, b in pairwise(sizes) for module in (layer(a, b, 2**0.5), nn.Tanh())]
        return nn.Sequential(*hidden, layer(sizes[-1], outputs, last_gain))

    seed_everything(seed, torch=True)
    make = [
        lambda: gymnasium.wrappers.RecordEpisodeStatistics(gymnasium.make(args.env_id)) for _ in range(args.num_envs)
    ]
    envs: Any = SyncVectorEnv(make, autoreset_mode=AutoresetMode.SAME_STEP)
    critic, actor = network(1, 1.0), network(envs.single_action_space.n, 0.01)
    weights = [*critic.parameters(), *actor.parameters()]
    optimizer = torch.optim.Adam(weights, lr=args.learning_rate, eps=args.adam_eps)
    shape = (args.num_steps, args.num_envs)
    obs_t = torch.zeros((*shape, *envs.single_observation_space.shape))
    action_t, logprob_t, reward_t, done_t, value_t = (torch.zeros(shape) for _ in range(5))
    obs, done = torch.as_tensor(envs.reset(seed=seed)[0]), torch.zeros(args.num_envs)
    returns: list[float] = []
    for iteration in range(args.num_iterations):
        if args.anneal_lr:
            optimizer.param_groups[0]["lr"] = (1 - iteration / args.num_iterations) * args.learning_rate
        for t in range(args.num_steps):
            obs_t[t], done_t[t] = obs, done
            with torch.no_grad():
                distribution = Categorical(logits=actor(obs))
                action = distribution.sample()
                value_t[t] = critic(obs).flatten()
            action_t[t], logprob_t[t] = action, distribution.log_prob(action)
            rows, reward, terminated, truncated, info = envs.step(action.numpy())
            reward_t[t] = torch.as_tensor(reward)
            obs, done = torch.as_tensor(rows), torch.as_tensor(terminated | truncated, dtype=torch.float32)
            if "final_info" in info:
                ended = info["final_info"]["episode"]["r"][info["final_info"]["_episode"]]
                returns += [float(value) for value in ended]
        with torch.no_grad():
            advantage_t = torch.zeros_like(reward_t)
            following, goes_on, running = critic(obs).flatten(), 1 - done, torch.zeros(args.num_envs)
            for t in reversed(range(args.num_steps)):
                delta = reward_t[t] + args.gamma * following * goes_on - value_t[t]
                advantage_t[t] = running = delta + args.gamma * args.gae_lambda * goes_on * running
                following, goes_on = value_t[t], 1 - done_t[t]
        b_obs, b_return = obs_t.flatten(0, 1), (advantage_t + value_t).flatten()
        b_action, b_logprob, b_advantage, b_value = (x.flatten() for x in (action_t, logprob_t, advantage_t, value_t))
        order = np.arange(args.batch_size)
        clipfracs, approx_kl = [], 0.0
        for _ in range(args.update_epochs):
            np.random.shuffle(order)
            for index in np.split(order, args.num_minibatches):
                distribution = Categorical(logits=actor(b_obs[index]))
                logratio = distribution.log_prob(b_action[index]) - b_logprob[index]
                ratio = logratio.exp()
                with torch.no_grad():
                    approx_kl = ((ratio - 1) - logratio).mean().item()
                    clipfracs.append(((ratio - 1).abs() > args.clip_coef).float().mean().item())
                advantage = b_advantage[index]
                if args.norm_adv:
                    advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
                clipped = ratio.clamp(1 - args.clip_coef, 1 + args.clip_coef)
                policy_loss = torch.max(-advantage * ratio, -advantage * clipped).mean()
                value = critic(b_obs[index]).flatten()
                error = (value - b_return[index]) ** 2
                if args.clip_vloss:
                    moved = (value - b_value[index]).clamp(-args.clip_coef, args.clip_coef)
                    error = torch.max(error, (b_value[index] + moved - b_return[index]) ** 2)
                entropy = distribution.entropy().mean()
                loss = policy_loss - args.ent_coef * entropy + args.vf_coef * 0.5 * error.mean()
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(weights, args.max_grad_norm)
                optimizer.step()
            if args.target_kl is not None and approx_kl > args.target_kl:
                break
    envs.close()
    return returns


TRAIN: dict[str, Callable[[Any, list[int]], tuple[int, list[float]]]] = {
    "batched": train_batched,
    "readable": train_readable,
    "sb3": train_sb3,
    "cleanrl": train_cleanrl,
}


# The table


def describe(row: dict[str, Any]) -> str:
    returns = row["returns"]
    mean = statistics.fmean(returns)
    text = f"{row['way']:11} {row['arm']:9} {row['steps_per_s']:9,.0f} steps/s"
    time_taken = f"{row['seconds']:.1f} s ({row['cpu_s']:.1f} s of processor time)"
    return f"{text} in {time_taken}, return {mean:.1f} over {len(returns)} seed{'s' * (len(returns) > 1)}"


def table(rows: list[dict[str, Any]], args: Args) -> str:
    """Median and range of the speeds, the ratio to Stable-Baselines3 the same way, and the returns."""
    lines = [
        "| way | arm | steps/s, median (range) | × sb3 | last-100 mean (range; seeds) |",
        "|---|---|---|---|---|",
    ]
    for way in args.ways:
        speeds = {
            arm: [row["steps_per_s"] for row in rows if (row["arm"], row["way"]) == (arm, way)] for arm in args.arms
        }
        for arm, values in speeds.items():
            middle = statistics.median(values)
            ratio = f"{middle / statistics.median(speeds['sb3']):.1f}" if "sb3" in speeds else "–"
            returns = [value for row in rows if (row["arm"], row["way"]) == (arm, way) for value in row["returns"]]
            cells = (
                way,
                arm,
                f"{middle:,.0f} ({min(values):,.0f}–{max(values):,.0f})",
                ratio,
                f"{statistics.fmean(returns):.1f} ({min(returns):.1f}–{max(returns):.1f}; {len(returns)})",
            )
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    run_command(main)
