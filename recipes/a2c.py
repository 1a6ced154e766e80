"""A2C over seeds, with the RL Zoo's settings.

python recipes/a2c.py --seeds 10
python recipes/a2c.py --preset lunarlander --seeds 5
"""

from __future__ import annotations

from rlpath.core.errors import run_command
from rlpath.deep.a2c import Args, train
from rlpath.deep.runner.recipe import run_recipe

CARTPOLE = Args()
ACROBOT = Args(env_id="Acrobot-v1", num_envs=16, normalize="shared")
LUNARLANDER = Args(
    env_id="LunarLander-v3",
    total_timesteps=200_000,
    gamma=0.995,
    learning_rate=8.3e-4,
    anneal_lr=True,
    ent_coef=1e-5,
)
# Without the state-dependent noise that the Zoo explores with.
PENDULUM = Args(
    env_id="Pendulum-v1",
    total_timesteps=1_000_000,
    num_steps=8,
    gae_lambda=0.9,
    vf_coef=0.8,  # the Zoo's 0.4, of an error that is not halved
    anneal_lr=True,
    orthogonal_init=False,
    normalize="shared",
)
SMOKE = Args(total_timesteps=400, checkpoint_every=200)
PRESETS = {
    "cartpole": CARTPOLE,
    "acrobot": ACROBOT,
    "lunarlander": LUNARLANDER,
    "pendulum": PENDULUM,
    "smoke": SMOKE,
}

if __name__ == "__main__":
    run_command(lambda: run_recipe("a2c", train, PRESETS))
