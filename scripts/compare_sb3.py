"""Our algorithms and Stable-Baselines3's side by side: same hyperparameters, same evaluation, one thread each.

python scripts/compare_sb3.py --algorithm sac --env-id Pendulum-v1 --seeds 5
python scripts/compare_sb3.py --algorithm dqn --preset cartpole-zoo --seeds 10
python scripts/compare_sb3.py --algorithm ppo --preset lunarlander --seeds 5

Settings come from the recipe of the same name (its presets and flags); a setting that Stable-Baselines3 does not know
is refused. One JSON file for each library and seed is written as it ends, under --root; a file that is there is kept,
so the same command goes on after a break. Seconds are those of training alone.
"""

from __future__ import annotations

import argparse
import json
import runpy
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import DummyVecEnv

from rlpath.deep.evaluate import evaluate_policy
from rlpath.deep.recipe import EVALUATION_SEED, Options, check, read_flags
from rlpath.errors import InputError, run_command
from rlpath.files import read_json, write_atomic
from rlpath.processes import Job, failure, run_jobs
from rlpath.provenance import manifest
from rlpath.runs import config_hash
from rlpath.seeding import parse_seeds
from rlpath.stats import interval_over_seeds, welch
from rlpath.tables import text_table

RECIPES = Path(__file__).parents[1] / "recipes"
LIBRARIES = ("ours", "sb3")


@dataclass(frozen=True)
class CompareOptions(Options):
    """The comparison, whatever the algorithm."""

    seeds: str | None = "5"
    """A number (5), a range (0-4) or a list (1,2,5)."""
    jobs: int = 2
    """Processes at a time."""
    root: Path = Path("runs/compare_sb3")
    """Where results go."""


# The same algorithm in Stable-Baselines3, from our arguments


def off_policy(args: Any) -> dict[str, Any]:
    """What DQN, DDPG, TD3 and SAC have in common."""
    return {
        "buffer_size": args.buffer_size,
        "learning_starts": args.learning_starts,
        "batch_size": args.batch_size,
        "tau": args.tau,
        "gamma": args.gamma,
        "train_freq": args.train_frequency,
        "gradient_steps": args.gradient_steps,
        "policy_kwargs": {"net_arch": list(args.hidden)},
    }


def dqn(args: Any, env: DummyVecEnv) -> BaseAlgorithm:
    """DQN."""
    only(args, double=False, dueling=False, prioritised=False, huber=True, target_first=True, random_start=True)
    return DQN(
        "MlpPolicy",
        env,
        learning_rate=args.learning_rate,
        target_update_interval=args.target_frequency,
        exploration_fraction=args.exploration_fraction,
        exploration_initial_eps=args.start_e,
        exploration_final_eps=args.end_e,
        max_grad_norm=args.max_grad_norm,
        seed=args.seed,
        **off_policy(args),
    )


def noise(args: Any, env: DummyVecEnv) -> NormalActionNoise:
    """The noise on the actions that DDPG and TD3 try."""
    only(args, noisy_start=True, scale_actions=True)
    zeros = np.zeros(env.action_space.shape or ())
    return NormalActionNoise(zeros, zeros + args.exploration_noise)


def ddpg(args: Any, env: DummyVecEnv) -> BaseAlgorithm:
    """DDPG."""
    only(args, policy_delay=1)
    settings = {"learning_rate": args.learning_rate, "action_noise": noise(args, env), **off_policy(args)}
    return DDPG("MlpPolicy", env, seed=args.seed, **settings)


def td3(args: Any, env: DummyVecEnv) -> BaseAlgorithm:
    """TD3."""
    return TD3(
        "MlpPolicy",
        env,
        learning_rate=args.learning_rate,
        action_noise=noise(args, env),
        policy_delay=args.policy_delay,
        target_policy_noise=args.policy_noise,
        target_noise_clip=args.noise_clip,
        seed=args.seed,
        **off_policy(args),
    )


def sac(args: Any, env: DummyVecEnv) -> BaseAlgorithm:
    """SAC."""
    only(args, q_lr=args.policy_lr, policy_frequency=1, temperature_first=True)
    only(args, halve_critic_loss=True, tanh_log_std=False, scale_actions=True)
    return SAC(
        "MlpPolicy",
        env,
        learning_rate=args.policy_lr,
        ent_coef=f"auto_{args.alpha}" if args.autotune else args.alpha,
        target_entropy="auto" if args.target_entropy is None else args.target_entropy,
        seed=args.seed,
        **off_policy(args),
    )


def on_policy(args: Any) -> dict[str, Any]:
    """What PPO and A2C have in common."""
    only(args, bootstrap_truncated=True)
    if args.anneal_lr:
        only(args, anneal_late=True)
    return {
        "learning_rate": LinearSchedule(args.learning_rate, 0.0, 1.0) if args.anneal_lr else args.learning_rate,
        "n_steps": args.num_steps,
        "gamma": args.gamma,
        "gae_lambda": args.gae_lambda,
        "normalize_advantage": args.norm_adv,
        "ent_coef": args.ent_coef,
        "vf_coef": args.vf_coef / 2,  # our error is halved
        "max_grad_norm": args.max_grad_norm,
    }


def network(args: Any) -> dict[str, Any]:
    """The networks of PPO and A2C."""
    widths = list(args.hidden)
    return {
        "net_arch": {"pi": widths, "vf": widths},
        "activation_fn": torch.nn.Tanh,
        "ortho_init": args.orthogonal_init,
    }


def ppo(args: Any, env: DummyVecEnv) -> BaseAlgorithm:
    """PPO for discrete actions."""
    if args.clip_vloss:
        only(args, vloss_max=False)
    if args.target_kl is not None:
        only(args, kl_per_minibatch=True)
    clip = LinearSchedule(args.clip_coef, 0.0, 1.0) if args.anneal_clip else args.clip_coef
    return PPO(
        "MlpPolicy",
        env,
        batch_size=args.batch_size // args.num_minibatches,
        n_epochs=args.update_epochs,
        clip_range=clip,
        clip_range_vf=clip if args.clip_vloss else None,
        target_kl=args.target_kl,
        policy_kwargs={**network(args), "optimizer_kwargs": {"eps": args.adam_eps}},
        seed=args.seed,
        **on_policy(args),
    )


def a2c(args: Any, env: DummyVecEnv) -> BaseAlgorithm:
    """A2C."""
    only(args, normalize="none", log_std=0.0)
    kwargs = network(args)
    if not args.use_rms_prop:
        kwargs["optimizer_kwargs"] = {"eps": args.optimizer_eps}
    return A2C(
        "MlpPolicy",
        env,
        rms_prop_eps=args.optimizer_eps,
        use_rms_prop=args.use_rms_prop,
        policy_kwargs=kwargs,
        seed=args.seed,
        **on_policy(args),
    )


BUILDERS: dict[str, Callable[[Any, DummyVecEnv], BaseAlgorithm]] = {
    "dqn": dqn,
    "ddpg": ddpg,
    "td3": td3,
    "sac": sac,
    "ppo": ppo,
    "a2c": a2c,
}


def only(args: Any, **values: Any) -> None:
    """Raise `InputError` where a field is not the one value that Stable-Baselines3 knows."""
    for name, value in values.items():
        if getattr(args, name) != value:
            said = f"{name}={getattr(args, name)}"
            raise InputError(f"Stable-Baselines3 cannot be given {said}, only {name}={value}; choose another --preset")


def build(algorithm: str, args: Any) -> BaseAlgorithm:
    """Stable-Baselines3's untrained model."""
    env = DummyVecEnv([lambda: Monitor(gymnasium.make(args.env_id))] * args.num_envs)
    return BUILDERS[algorithm](args, env)


# One seed of one library


def run_seed(algorithm: str, library: str, train: Callable[[Any], Any], args: Any, options: Options) -> dict[str, Any]:
    """Train and evaluate one seed; the figures that are written down."""
    torch.set_num_threads(1)
    start, cpu = time.monotonic(), time.process_time()
    if library == "ours":
        result = train(args)
        steps, last = result.steps, result.last(100)
        act = lambda obs: result.act(obs, True)  # noqa: E731
    else:
        model = build(algorithm, args)
        start, cpu = time.monotonic(), time.process_time()
        model.learn(args.total_timesteps)
        last = float(np.mean([episode["r"] for episode in model.ep_info_buffer or [{"r": np.nan}]]))
        steps = model.num_timesteps
        act = lambda obs: model.predict(obs, deterministic=True)[0]  # noqa: E731
    seconds = {"wall_s": time.monotonic() - start, "cpu_s": time.process_time() - cpu}
    returns = evaluate_policy(act, args.env_id, episodes=options.eval_episodes, seed=EVALUATION_SEED)
    last_100 = last if np.isfinite(last) else None
    figures = {"steps": steps, "mean": float(returns.mean()), "last_100": last_100, "returns": returns.tolist()}
    return {"algorithm": algorithm, "library": library, "seed": args.seed, **seconds, **figures}


# All seeds of both


def compare(folder: Path, paths: dict[tuple[str, int], Path], options: Options, words: Sequence[str]) -> int:
    """Run what is missing, print the comparison, and return the exit status: 1 where a seed failed."""
    missing = [
        Job(path.stem, (sys.executable, *sys.argv[:1], *words, "--library", library, "--seed", str(seed)), log_of(path))
        for (library, seed), path in paths.items()
        if not path.exists()
    ]
    print(f"{len(paths)} runs, {len(paths) - len(missing)} of them there already; results in {folder}", flush=True)

    def ended(job: Job, status: int) -> None:
        print(f"{job.name}: {'done' if status == 0 else failure(status, job.log)}", flush=True)

    statuses = run_jobs(missing, options.jobs, ended)
    if any(statuses.values()):
        print("not compared: a run failed; the same command tries it again")
        return 1
    print(table([read_json(path) for path in paths.values()]))
    return 0


def log_of(path: Path) -> Path:
    """The file that receives what the process of a result printed."""
    return path.with_suffix(".log")


def table(results: Sequence[dict[str, Any]]) -> str:
    """Both libraries over their seeds, and the difference of their means."""
    rows, means = [], {}
    for library in LIBRARIES:
        own = [result for result in results if result["library"] == library]
        means[library] = [result["mean"] for result in own]
        training = [result["last_100"] for result in own]
        cells = [over(means[library]), over(training), *(over([r[name] for r in own]) for name in ("wall_s", "cpu_s"))]
        rows.append((library, *cells, " ".join(f"{mean:.1f}" for mean in means[library])))
    head = ("library", "evaluation", "last 100 episodes", "wall seconds", "CPU seconds", "evaluation of each seed")
    lines = [text_table(head, rows)]
    if len(means["ours"]) > 1:
        lines.append(f"ours − sb3: {welch(means['sb3'], means['ours'])} (95 %, Welch, {len(means['ours'])} seeds each)")
    return "\n".join(lines)


def over(values: Sequence[float | None]) -> str:
    """Mean and interval over seeds; a dash where one of them has no value."""
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return "–"
    if len(known) < 2:
        return f"{known[0]:.1f}"
    interval = interval_over_seeds(known)
    return f"{interval.estimate:.1f} [{interval.low:.1f}, {interval.high:.1f}]"


def starting_point(presets: dict[str, Any], words: list[str], builds: Callable[[Any], object]) -> list[str]:
    """`words`, beginning with the first preset of their environment that Stable-Baselines3 can run; or as they are."""
    env_id = words[words.index("--env-id") + 1] if "--env-id" in words[:-1] else None
    if "--preset" in words or env_id is None:
        return words
    for name, args in presets.items():
        if args.env_id == env_id:
            try:
                builds(args)
            except InputError:
                continue
            return ["--preset", name, *words]
    return words


def main(argv: Sequence[str] | None = None) -> int:
    """Read the command line and run the comparison, or one seed of it."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--algorithm", default="")
    parser.add_argument("--library", default="")
    own, words = parser.parse_known_args(argv)
    if "--seed" in words and not own.library:
        raise InputError("both libraries run several seeds: give --seeds, as in --seeds 5 or --seeds 0-4")
    if own.algorithm not in BUILDERS:
        raise InputError(f"--algorithm {own.algorithm or '(missing)'} is not one of {', '.join(BUILDERS)}")
    recipe = runpy.run_path(str(RECIPES / f"{own.algorithm}.py"))
    words = starting_point(recipe["PRESETS"], words, lambda args: build(own.algorithm, args))
    args, options = read_flags(own.algorithm, recipe["PRESETS"], words, CompareOptions)
    # Our runs leave no run folder here, so nothing is saved between.
    args = replace(args, checkpoint_every=0)
    check(args, options)
    build(own.algorithm, args)
    config = {"algorithm": own.algorithm, **asdict(args), "eval_episodes": options.eval_episodes}
    folder = options.root / own.algorithm / config_hash({k: v for k, v in config.items() if k != "seed"})
    folder.mkdir(parents=True, exist_ok=True)
    if own.library:
        figures = run_seed(own.algorithm, own.library, recipe["train"], args, options)
        facts = manifest([sys.argv[0], *(argv or sys.argv[1:])], config)
        path = folder / f"{own.library}-seed-{args.seed}.json"
        write_atomic(path, json.dumps({**figures, "manifest": facts}, indent=2, default=str) + "\n")
        return 0
    seeds = parse_seeds(options.seeds or str(args.seed))
    paths = {(lib, seed): folder / f"{lib}-seed-{seed}.json" for seed in seeds for lib in LIBRARIES}
    return compare(folder, paths, options, ["--algorithm", own.algorithm, *words])


if __name__ == "__main__":
    run_command(main)
