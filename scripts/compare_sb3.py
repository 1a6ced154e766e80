"""Our algorithms and Stable-Baselines3's side by side: same hyperparameters, same evaluation, one thread each.

python scripts/compare_sb3.py --algorithm sac --env-id Pendulum-v1 --seeds 5
python scripts/compare_sb3.py --algorithm dqn --preset cartpole-zoo --seeds 10
python scripts/compare_sb3.py --algorithm ppo --preset lunarlander --seeds 5

Settings come from the recipe of the same name (its presets and flags); a setting that Stable-Baselines3 does not know
is refused. Our side is the recipe's own run folders, made if they are not there; the other side is a JSON file a seed.
What is there is kept, so the same command goes on after a break. Seconds are those of training alone.
"""

from __future__ import annotations

import argparse
import json
import runpy
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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

from rlpath.core.errors import InputError, run_command
from rlpath.core.files import read_json, write_atomic
from rlpath.core.seeding import parse_seeds
from rlpath.core.stats import difference_of_runs, interval_over_seeds
from rlpath.deep.parts.evaluate import evaluate_policy
from rlpath.deep.parts.vec import EVALUATION_SEED
from rlpath.deep.runner.recipe import Options, check, config_of, read_flags
from rlpath.report.tables import text_table
from rlpath.runs.processes import Job, failure, run_jobs
from rlpath.runs.provenance import manifest
from rlpath.runs.returns import possible
from rlpath.runs.run_folder import read_run, run_path

RECIPES = Path(__file__).parents[1] / "recipes"


@dataclass(frozen=True)
class CompareOptions(Options):
    """The comparison, whatever the algorithm."""

    seeds: str | None = "5"
    """A number (5), a range (0-4) or a list (1,2,5)."""
    jobs: int = 2
    """Processes at a time."""


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
    only(args, double=False, dueling=False, prioritized=False, huber=True, target_first=True, random_start=True)
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


# One seed


def run_seed(algorithm: str, args: Any, options: Options) -> dict[str, Any]:
    """Train and evaluate one seed of Stable-Baselines3's; the figures that are written down."""
    torch.set_num_threads(1)
    model = build(algorithm, args)
    start = time.monotonic()
    model.learn(args.total_timesteps)
    wall_s = time.monotonic() - start
    last = float(np.mean([episode["r"] for episode in model.ep_info_buffer or [{"r": np.nan}]]))
    returns = evaluate_policy(
        lambda obs: model.predict(obs, deterministic=True)[0],
        args.env_id,
        episodes=options.eval_episodes,
        seed=EVALUATION_SEED,
    )
    last_100 = last if np.isfinite(last) else None
    figures = {"steps": model.num_timesteps, "mean": float(returns.mean()), "last_100": last_100}
    return {"algorithm": algorithm, "seed": args.seed, "wall_s": wall_s, **figures, "returns": returns.tolist()}


def our_figures(run: Path) -> dict[str, Any]:
    """The same figures of a finished run of ours."""
    final = read_json(run / "evaluations" / "final.json")
    told = {name: final[name] for name in ("mean", "last_100", "env_id")}
    return {"wall_s": read_run(run).metrics[-1]["wall_s"], **told}


# All seeds of both


def compare(
    ours: dict[int, Path], theirs: dict[int, Path], options: Options, recipe: Path, words: Sequence[str]
) -> int:
    """Run what is missing, print the comparison, and return the exit status: 1 where a seed failed."""
    jobs = []
    for seed in ours:
        if not (ours[seed] / "finished.json").exists():
            log = theirs[seed].with_name(f"ours-seed-{seed}.log")
            flags = ["--root", str(options.root), "--seed", str(seed)]
            jobs.append(Job(f"ours, seed {seed}", (sys.executable, str(recipe), *words, *flags), log))
        if not theirs[seed].exists():
            flags = ["--algorithm", recipe.stem, *words, "--sb3-seed", str(seed), "--root", str(options.root)]
            jobs.append(Job(f"sb3, seed {seed}", (sys.executable, *sys.argv[:1], *flags), log_of(theirs[seed])))
    print(f"{2 * len(ours)} runs, {2 * len(ours) - len(jobs)} of them there already", flush=True)

    def ended(job: Job, status: int) -> None:
        print(f"{job.name}: {'done' if status == 0 else failure(status, job.log)}", flush=True)

    statuses = run_jobs(jobs, options.jobs, ended)
    if any(statuses.values()):
        print("not compared: a run failed; the same command tries it again")
        return 1
    print(table([our_figures(run) for run in ours.values()], [read_json(path) for path in theirs.values()]))
    return 0


def log_of(path: Path) -> Path:
    """The file that receives what the process of a result printed."""
    return path.with_suffix(".log")


def table(ours: Sequence[dict[str, Any]], theirs: Sequence[dict[str, Any]]) -> str:
    """Both libraries over their seeds, and the difference of their means."""
    rows = []
    env_id = ours[0]["env_id"]
    for library, results in (("rlpath", ours), ("Stable-Baselines3", theirs)):
        returns = (over([result[name] for result in results], env_id) for name in ("mean", "last_100"))
        cells = (*returns, over([result["wall_s"] for result in results]))
        rows.append((library, *cells, " ".join(f"{result['mean']:.1f}" for result in results)))
    head = ("library", "evaluation", "last 100 episodes", "training, s", "evaluation of each seed")
    lines = [text_table(head, rows)]
    if len(ours) > 1:
        before, after = ([result["mean"] for result in results] for results in (theirs, ours))
        difference = difference_of_runs(before, after)
        seen = f"95 %, {difference.test}, p = {difference.p:.2f}; {difference.detectable:.1f} would be detected"
        lines.append(f"rlpath − Stable-Baselines3: {difference.interval} ({seen})")
    return "\n".join(lines)


def over(values: Sequence[float | None], env_id: str | None = None) -> str:
    """Mean and interval over seeds, within what `env_id` can give; a dash where one of them has no value."""
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return "–"
    if len(known) < 2:
        return f"{known[0]:.1f}"
    interval = possible(interval_over_seeds(known), env_id)
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
    """Read the command line and run the comparison, or one seed of Stable-Baselines3's."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--algorithm", default="")
    parser.add_argument("--sb3-seed", type=int, default=None)
    own, words = parser.parse_known_args(argv)
    if "--seed" in words:
        raise InputError("both libraries run several seeds: give --seeds, as in --seeds 5 or --seeds 0-4")
    if own.algorithm not in BUILDERS:
        raise InputError(f"--algorithm {own.algorithm or '(missing)'} is not one of {', '.join(BUILDERS)}")
    path = RECIPES / f"{own.algorithm}.py"
    presets = runpy.run_path(str(path))["PRESETS"]
    words = starting_point(presets, words, lambda args: build(own.algorithm, args))
    args, options = read_flags(own.algorithm, presets, words, CompareOptions)
    check(args, options)
    build(own.algorithm, args)
    config = config_of(own.algorithm, args, options)
    seeds = [own.sb3_seed] if own.sb3_seed is not None else parse_seeds(options.seeds or str(args.seed))
    ours = {seed: run_path(options.root, own.algorithm, config, seed) for seed in seeds}
    theirs = {seed: sb3_path(run) for seed, run in ours.items()}
    if own.sb3_seed is not None:
        args = replace(args, seed=own.sb3_seed)
        facts = manifest([sys.argv[0], *(argv or sys.argv[1:])], {**config, "seed": own.sb3_seed})
        figures = run_seed(own.algorithm, args, options)
        write_atomic(theirs[own.sb3_seed], json.dumps({**figures, "manifest": facts}, indent=2, default=str) + "\n")
        return 0
    next(iter(theirs.values())).parent.mkdir(parents=True, exist_ok=True)
    return compare(ours, theirs, options, path, _without(words, ("--seeds", "--root", "--jobs")))


def sb3_path(run: Path) -> Path:
    """Where Stable-Baselines3's figures for the seed of our run folder go: <root>/sb3/<recipe>/<hash>/seed-k.json."""
    return run.parents[2] / "sb3" / run.parents[1].name / run.parent.name / f"{run.name}.json"


def _without(words: Sequence[str], flags: Sequence[str]) -> list[str]:
    """`words` without the flags named and their values."""
    kept, skip = [], False
    for word in words:
        skip_this, skip = skip, False
        name, _, value = word.partition("=")
        if name in flags:
            skip = not value
        elif not skip_this:
            kept.append(word)
    return kept


if __name__ == "__main__":
    run_command(main)
