"""`rlpath enjoy RUN`: watch a trained agent as a GIF, and measure its return over fresh episodes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import gymnasium
import numpy as np
import tyro

from rlpath.core.errors import InputError
from rlpath.core.stats import interval_over_seeds

if TYPE_CHECKING:
    from rlpath.deep.parts.training import Result


@dataclass(frozen=True)
class Enjoy:
    """Watch a trained agent: a GIF of one episode, and its return over fresh episodes with an interval."""

    run_folder: tyro.conf.Positional[Path]
    """A finished run, runs/<recipe>/<hash>/seed-<k>."""
    episodes: int = 20
    """Episodes to measure it with, at least 2."""
    seed: int = 20_000
    """The first episode's seed; the final evaluation's begin at 10,000."""
    out: Path | None = None
    """Where the GIF goes; enjoy.gif in the run's folder unless told."""
    window: bool = False
    """Show a window instead of writing a GIF."""

    def run(self) -> int:
        """Print the return, and write the GIF or show the window."""
        # Here, so that the help of this command does not wait for torch.
        from rlpath.deep.parts.evaluate import evaluate_policy
        from rlpath.deep.runner.trained import load_policy

        if self.episodes < 2:
            raise InputError(f"--episodes is {self.episodes}; at least 2 are needed for an interval")
        trained = load_policy(self.run_folder)
        env_id = trained.args.env_id
        returns = evaluate_policy(lambda obs: trained.act(obs, True), env_id, episodes=self.episodes, seed=self.seed)
        found = interval_over_seeds(returns.tolist())
        print(f"return over {self.episodes} episodes: {found.estimate:z.2f} [{found.low:z.2f}, {found.high:z.2f}]")
        frames = play(trained, self.seed, "human" if self.window else "rgb_array")
        if not self.window:
            print(write_gif(frames, self.out or self.run_folder / "enjoy.gif"))
        return 0


def play(trained: Result, seed: int, render_mode: str) -> list[np.ndarray]:
    """One greedy episode; its frames, (height, width, 3) uint8, where `render_mode` is rgb_array."""
    from rlpath.deep.parts.evaluate import LONGEST

    if render_mode == "rgb_array":
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    try:
        env = gymnasium.make(trained.args.env_id, render_mode=render_mode)
    except (gymnasium.error.Error, TypeError, ValueError) as why:
        raise InputError(f"{trained.args.env_id} cannot be drawn as {render_mode}: {why}") from None
    obs, _ = env.reset(seed=seed)
    frames = []
    for _ in range(LONGEST):
        if render_mode == "rgb_array":
            frames.append(np.asarray(env.render()))
        action = trained.act(np.asarray(obs)[None], True)[0]
        obs, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            break
    env.close()
    return frames


def write_gif(frames: list[np.ndarray], path: Path) -> Path:
    """Write the frames to `path`, 25 a second. Raises `InputError` where Pillow is missing."""
    try:
        from PIL import Image
    except ImportError:
        raise InputError("a GIF needs Pillow: pip install 'rlpath[sb3]'") from None
    pictures = [Image.fromarray(frame).quantize(64) for frame in frames]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=40, loop=0)
    return path
