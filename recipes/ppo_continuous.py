"""PPO for continuous actions over seeds: the RL Zoo's settings, and CleanRL's, which do not learn Pendulum.

python recipes/ppo_continuous.py --seeds 10
python recipes/ppo_continuous.py --preset lunarlander --seeds 5
python recipes/ppo_continuous.py --preset hopper --seeds 3

MuJoCo (HalfCheetah, Hopper, with CleanRL's settings) needs the extra `envs`.
"""

from __future__ import annotations

from rlpath.core.errors import run_command
from rlpath.deep.ppo_continuous import Args, train
from rlpath.deep.runner.recipe import run_recipe

# Without the state-dependent noise that the Zoo explores with.
PENDULUM = Args(
    env_id="Pendulum-v1",
    total_timesteps=100_000,
    num_envs=4,
    num_steps=1024,
    num_minibatches=64,
    update_epochs=10,
    gamma=0.9,
    gae_lambda=0.95,
    learning_rate=1e-3,
    anneal_lr=False,
    clip_vloss=False,
    vf_coef=1.0,  # the Zoo's 0.5, of an error that is not halved
    normalize="none",
)
LUNARLANDER = Args(
    env_id="LunarLanderContinuous-v3",
    total_timesteps=1_000_000,
    num_envs=16,
    num_steps=1024,
    num_minibatches=256,
    update_epochs=4,
    gamma=0.999,
    gae_lambda=0.98,
    ent_coef=0.01,
    learning_rate=3e-4,
    anneal_lr=False,
    clip_vloss=False,
    vf_coef=1.0,
    normalize="none",
)
HALFCHEETAH, HOPPER = Args(env_id="HalfCheetah-v5"), Args(env_id="Hopper-v5")
CLEANRL = Args(bootstrap_truncated=False)
SMOKE = Args(total_timesteps=512, num_steps=128, num_minibatches=4, update_epochs=2, checkpoint_every=256)
PRESETS = {"pendulum": PENDULUM, "lunarlander": LUNARLANDER, "cleanrl": CLEANRL}
PRESETS |= {"halfcheetah": HALFCHEETAH, "hopper": HOPPER, "smoke": SMOKE}

if __name__ == "__main__":
    run_command(lambda: run_recipe("ppo_continuous", train, PRESETS))
