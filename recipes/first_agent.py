"""The first agent: Stable-Baselines3's PPO learns to balance a pole, in under two minutes and before any theory.

python recipes/first_agent.py

An agent sees four numbers (where the cart is, how fast it moves, how far the pole leans, how fast it falls) and pushes
left or right; every step the pole stands is worth 1, and 500 steps are the most. The run leaves a curve of what the
agent earned while it learned, and a moving picture of it before and after.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
import tyro
from PIL import Image
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.utils import LinearSchedule

from rlpath.core.errors import InputError, run_command
from rlpath.deep.parts.evaluate import evaluate_policy
from rlpath.deep.parts.vec import make_env
from rlpath.report import plots
from rlpath.runs.curves import last_mean, learning_curve
from rlpath.runs.provenance import manifest
from rlpath.runs.run_folder import RunFolder, read_run

Array = np.ndarray[Any, Any]
Act = Callable[[Array], Array]
LONGEST = 500  # frames of the moving picture


@dataclass(frozen=True)
class Settings:
    """Everything that can be changed."""

    env_id: str = "CartPole-v1"
    """A registered Gymnasium environment that can be drawn."""
    total_timesteps: int = 60_000
    """Steps to learn from."""
    seed: int = 0
    """Fixes the whole run."""
    eval_episodes: int = 100
    """Episodes to measure the agent with, before and after."""
    root: Path = Path("runs")
    """Where the run's folder goes."""


class Diary(BaseCallback):
    """Writes the return of every training episode into the run's folder."""

    def __init__(self, run: RunFolder) -> None:
        super().__init__()
        self.run = run

    def _on_step(self) -> bool:
        for info in self.locals["infos"]:
            if "episode" in info:
                self.run.log_metrics(self.num_timesteps, {"charts/episodic_return": float(info["episode"]["r"])})
        return True


def main() -> int:
    """Measure an untrained agent, train it, measure it again, and draw what happened."""
    words = sys.argv[1:]
    smoke = Settings(total_timesteps=512, eval_episodes=2)
    default = smoke if "--smoke" in words else Settings()
    settings = tyro.cli(Settings, default=default, args=[word for word in words if word != "--smoke"])
    make_env(settings.env_id).close()
    if settings.total_timesteps < 1 or settings.eval_episodes < 2:
        raise InputError("--total-timesteps is at least 1 and --eval-episodes at least 2")
    with RunFolder.open(settings.root, "first_agent", asdict(settings), settings.seed) as run:
        if run.finished:
            print(f"this agent was trained before; look at {run.path}")
            return 0
        run.rewind(-1)
        run.write_manifest(manifest(sys.argv, asdict(settings)))
        print(f"training on {settings.env_id}: {settings.total_timesteps} steps, seed {settings.seed}", flush=True)
        train(settings, run)
        run.mark_finished()
    return 0


def train(settings: Settings, run: RunFolder) -> None:
    """The experiment. Figures are printed and kept in evaluations/final.json."""
    # Small networks: a second thread costs more than it brings.
    torch.set_num_threads(1)
    envs = make_vec_env(settings.env_id, n_envs=8, seed=settings.seed)
    # What the RL Zoo found to work on CartPole; both schedules fall to zero.
    agent = PPO(
        "MlpPolicy",
        envs,
        seed=settings.seed,
        n_steps=32,
        batch_size=256,
        n_epochs=20,
        gamma=0.98,
        gae_lambda=0.8,
        ent_coef=0.0,
        learning_rate=LinearSchedule(1e-3, 0.0, 1.0),
        clip_range=LinearSchedule(0.2, 0.0, 1.0),
        device="cpu",
    )

    def act(obs: Array) -> Array:
        # As in training, drawn from its probabilities: an untrained agent's greedy action can be lucky for a while.
        return agent.predict(obs, deterministic=False)[0]

    before = evaluate_policy(act, settings.env_id, episodes=settings.eval_episodes)
    untrained = film(act, settings.env_id)
    agent.learn(settings.total_timesteps, callback=Diary(run))
    after = evaluate_policy(act, settings.env_id, episodes=settings.eval_episodes)
    trained = film(act, settings.env_id)
    envs.close()
    agent.save(run.path / "model.zip")

    final = {"episodes": len(after), "first_seed": 10_000, "exploration": True, "untrained": float(before.mean())}
    outcome = {"mean": float(after.mean()), "sd": float(after.std(ddof=1)), "returns": after.tolist()}
    run.write_json("evaluations/final.json", {**final, **outcome, "last_100": last_mean(read_run(run.path))})
    side_by_side(untrained, trained, run.path / "before_after.gif")
    draw_curve(run.path)
    print(f"mean return over {len(after)} episodes: {before.mean():.1f} before, {after.mean():.1f} after")
    for name, what in (
        ("curve.png", "what it earned while it learned (curve.svg too)"),
        ("before_after.gif", "left the untrained agent, right the trained one"),
        ("evaluations/final.json", "every figure"),
        ("model.zip", "the trained agent, for stable_baselines3.PPO.load"),
    ):
        print(f"  {run.path / name}: {what}")


def film(act: Act, env_id: str) -> list[Image.Image]:
    """One episode as pictures, every second step, half the size."""
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    env = gymnasium.make(env_id, render_mode="rgb_array")
    obs, _ = env.reset(seed=1)
    frames = []
    for step in range(LONGEST):
        if step % 2 == 0:
            picture = Image.fromarray(np.asarray(env.render()))
            frames.append(picture.resize((picture.width // 2, picture.height // 2)))
        obs, _, terminated, truncated, _ = env.step(act(np.asarray(obs)[None])[0])
        if terminated or truncated:
            break
    env.close()
    return frames


def side_by_side(left: list[Image.Image], right: list[Image.Image], path: Path) -> None:
    """Two films as one GIF; the shorter one stands still at its end."""
    frames = []
    for i in range(max(len(left), len(right))):
        pair = left[min(i, len(left) - 1)], right[min(i, len(right) - 1)]
        both = Image.new("RGB", (pair[0].width + pair[1].width + 4, pair[0].height))
        both.paste(pair[0], (0, 0))
        both.paste(pair[1], (pair[0].width + 4, 0))
        frames.append(both.quantize(32))
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=40, loop=0, optimize=True)


def draw_curve(path: Path) -> None:
    """The run's learning curve as SVG and PNG; none where no episode ended."""
    record = read_run(path)
    if not record.metrics:
        return
    curve = learning_curve(record)
    title = f"Return of training episodes, {record.config['env_id']}"
    lines = [plots.Line(None, curve.step, curve.value)]
    svg = plots.line_plot("curve", title, lines, xlabel="environment steps")
    (path / "curve.svg").write_text(plots.standalone(svg), encoding="utf-8")
    (path / "curve.png").write_bytes(plots.line_image(title, lines, xlabel="environment steps"))


if __name__ == "__main__":
    run_command(main)
