"""SAC over seeds: the RL Zoo's settings for Pendulum.

python recipes/sac.py --seeds 5
"""

from __future__ import annotations

from rlpath.core.errors import run_command
from rlpath.deep.runner.recipe import run_recipe
from rlpath.deep.sac import Args, train

PENDULUM = Args(policy_lr=1e-3, q_lr=1e-3)
PRESETS = {
    "pendulum": PENDULUM,
    "smoke": Args(total_timesteps=600, checkpoint_every=300, hidden=(32, 32), batch_size=64),
}

if __name__ == "__main__":
    run_command(lambda: run_recipe("sac", train, PRESETS))
