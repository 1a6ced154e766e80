"""DDPG over seeds: the RL Zoo's settings for Pendulum.

python recipes/ddpg.py --seeds 5
"""

from __future__ import annotations

from rlpath.core.errors import run_command
from rlpath.deep.ddpg import Args, train
from rlpath.deep.runner.recipe import run_recipe

PENDULUM = Args(gamma=0.98, buffer_size=200_000, learning_starts=10_000)
PRESETS = {
    "pendulum": PENDULUM,
    "smoke": Args(total_timesteps=600, checkpoint_every=300, hidden=(32, 32), batch_size=64),
}

if __name__ == "__main__":
    run_command(lambda: run_recipe("ddpg", train, PRESETS))
