"""`rlpath enjoy RUN`: watch a trained agent as a GIF, an MP4 or in a window, and measure it over fresh episodes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tyro

from rlpath.core.errors import InputError
from rlpath.core.files import disk_errors
from rlpath.core.stats import interval_over_seeds

if TYPE_CHECKING:
    from rlpath.deep.parts.training import Result

FPS = 25
SMALLEST = 200
"""Pixels of a film's longer side at least."""


@dataclass(frozen=True)
class Enjoy:
    """Watch a trained agent: a GIF or MP4 of one episode, and its return over fresh episodes with an interval."""

    run_folder: tyro.conf.Positional[Path]
    """A finished run, runs/<recipe>/<hash>/seed-<k>."""
    episodes: int = 20
    """Episodes to measure it with, at least 2."""
    seed: int = 20_000
    """The first episode's seed; the final evaluation's begin at 10,000."""
    out: Path | None = None
    """Where the film goes, a .gif or .mp4; enjoy.gif in the run's folder unless told."""
    window: bool = False
    """Show a window instead of writing a film."""

    def run(self) -> int:
        """Print the return, and write the film or show the window."""
        # Here, so that the help of this command does not wait for torch.
        from rlpath.deep.parts.evaluate import evaluate_policy
        from rlpath.deep.runner.trained import load_policy

        if self.episodes < 2:
            raise InputError(f"--episodes is {self.episodes}; at least 2 are needed for an interval")
        out = self.out or self.run_folder / "enjoy.gif"
        if out.suffix not in WRITERS:
            raise InputError(f"--out {out} must end in {' or '.join(WRITERS)}")
        trained = load_policy(self.run_folder)
        env_id = trained.args.env_id
        returns = evaluate_policy(lambda obs: trained.act(obs, True), env_id, episodes=self.episodes, seed=self.seed)
        found = interval_over_seeds(returns.tolist())
        print(f"return over {self.episodes} episodes: {found.estimate:z.2f} [{found.low:z.2f}, {found.high:z.2f}]")
        frames = play(trained, self.seed, "human" if self.window else "rgb_array")
        if not self.window:
            with disk_errors(out):
                print(WRITERS[out.suffix](frames, out))
        return 0


def play(trained: Result, seed: int, render_mode: str) -> list[np.ndarray]:
    """One greedy episode; its frames, (height, width, 3) uint8, where `render_mode` is rgb_array."""
    from rlpath.deep.parts.evaluate import LONGEST
    from rlpath.deep.parts.vec import make_env

    if render_mode == "rgb_array":
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
        if sys.platform == "linux" and "DISPLAY" not in os.environ:
            os.environ.setdefault("MUJOCO_GL", "egl")  # its default needs a screen
    try:
        env = make_env(trained.args.env_id, render_mode=render_mode)
    except (TypeError, ValueError) as why:
        raise InputError(f"{trained.args.env_id} cannot be drawn as {render_mode}: {why}") from None
    obs, _ = env.reset(seed=seed)
    frames = []
    for _ in range(LONGEST):
        if render_mode == "rgb_array":
            frames.append(picture(np.asarray(env.render())))
        action = trained.act(np.asarray(obs)[None], True)[0]
        obs, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            break
    env.close()
    return frames


def picture(frame: np.ndarray) -> np.ndarray:
    """A frame as (height, width, 3) uint8, from shares of 1 too; one of few pixels (MinAtar's 10 × 10) is enlarged."""
    if np.issubdtype(frame.dtype, np.floating):
        frame = (255 * frame).round()
    times = max(1, -(-SMALLEST // max(frame.shape[:2])))
    return frame.astype(np.uint8).repeat(times, 0).repeat(times, 1)


def write_gif(frames: list[np.ndarray], path: Path) -> Path:
    """Write the frames to `path`, `FPS` a second. Raises `InputError` where Pillow is missing."""
    try:
        from PIL import Image
    except ImportError:
        raise InputError("a GIF needs Pillow: pip install 'rlpath[sb3]'") from None
    pictures = [Image.fromarray(frame).quantize(64) for frame in frames]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=1000 // FPS, loop=0)
    return path


def write_mp4(frames: list[np.ndarray], path: Path) -> Path:
    """Write the frames to `path` as H.264, `FPS` a second. Raises `InputError` where imageio-ffmpeg is missing.

    An odd side loses a pixel: H.264 has even ones.
    """
    try:
        import imageio_ffmpeg
    except ImportError:
        raise InputError("an MP4 needs imageio-ffmpeg: pip install 'rlpath[envs]'") from None
    height, width = (side // 2 * 2 for side in frames[0].shape[:2])
    writer = imageio_ffmpeg.write_frames(
        str(path), (width, height), fps=FPS, macro_block_size=2, ffmpeg_log_level="error"
    )
    writer.send(None)
    for frame in frames:
        writer.send(np.ascontiguousarray(frame[:height, :width]))
    writer.close()
    return path


WRITERS: dict[str, Callable[[list[np.ndarray], Path], Path]] = {".gif": write_gif, ".mp4": write_mp4}
