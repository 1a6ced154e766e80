"""REINFORCE with a learned baseline over seeds, and without the baseline, to see what it is for.

python recipes/reinforce.py --seeds 10
python recipes/reinforce.py --preset no-baseline --seeds 10
"""

from __future__ import annotations

from dataclasses import replace

from rlpath.core.errors import run_command
from rlpath.deep.reinforce import Args, train
from rlpath.deep.runner.recipe import run_recipe

CARTPOLE = Args(total_timesteps=100_000)
ACROBOT = replace(CARTPOLE, env_id="Acrobot-v1", total_timesteps=200_000)
# Returns as they are: standardizing them would be a baseline too.
NO_BASELINE = replace(CARTPOLE, baseline=False, norm_adv=False)
SMOKE = Args(total_timesteps=300, episodes_per_update=2, checkpoint_every=100)
PRESETS = {"cartpole": CARTPOLE, "acrobot": ACROBOT, "no-baseline": NO_BASELINE, "smoke": SMOKE}

if __name__ == "__main__":
    run_command(lambda: run_recipe("reinforce", train, PRESETS))
