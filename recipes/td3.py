"""TD3 over seeds: the RL Zoo's settings for Pendulum.

python recipes/td3.py --seeds 5
python recipes/td3.py --preset hopper --seeds 3

MuJoCo (HalfCheetah, Hopper, with the Zoo's settings) needs the extra `envs`.
"""

from __future__ import annotations

from dataclasses import replace

from rlpath.core.errors import run_command
from rlpath.deep.runner.recipe import run_recipe
from rlpath.deep.td3 import Args, train

PENDULUM = Args(gamma=0.98, buffer_size=200_000, learning_starts=10_000)
MUJOCO = Args(total_timesteps=1_000_000, learning_starts=10_000)
PRESETS = {
    "pendulum": PENDULUM,
    "halfcheetah": replace(MUJOCO, env_id="HalfCheetah-v5"),
    "hopper": replace(MUJOCO, env_id="Hopper-v5"),
    "smoke": Args(total_timesteps=600, checkpoint_every=300, hidden=(32, 32), batch_size=64),
}

if __name__ == "__main__":
    run_command(lambda: run_recipe("td3", train, PRESETS))
