"""DQN over seeds: CleanRL's settings for classic control, and the RL Zoo's.

python recipes/dqn.py --env-id CartPole-v1 --seeds 10
python recipes/dqn.py --preset lunarlander --double --dueling --seeds 5
python recipes/dqn.py --preset minatar

MinAtar and Atari need the extra `envs`.
"""

from __future__ import annotations

from dataclasses import replace

from rlpath.core.errors import run_command
from rlpath.deep.dqn import Args, train
from rlpath.deep.runner.recipe import run_recipe

CARTPOLE = Args()
SB3 = Args(huber=True, max_grad_norm=10, target_first=True, random_start=True, hidden=(256, 256))
CARTPOLE_ZOO = replace(
    SB3,
    total_timesteps=50_000,
    learning_rate=2.3e-3,
    batch_size=64,
    buffer_size=100_000,
    learning_starts=1000,
    target_frequency=10,
    train_frequency=256,
    gradient_steps=128,
    exploration_fraction=0.16,
    end_e=0.04,
)
LUNARLANDER = replace(
    SB3,
    env_id="LunarLander-v3",
    total_timesteps=100_000,
    learning_rate=6.3e-4,
    batch_size=128,
    buffer_size=50_000,
    learning_starts=0,
    target_frequency=250,
    train_frequency=4,
    gradient_steps=4,
    exploration_fraction=0.12,
    end_e=0.1,
)
# The settings of Young & Tian 2019, a fifth of their frames, Adam in place of RMSProp.
BREAKOUT = Args(
    env_id="MinAtar/Breakout-v1",
    total_timesteps=1_000_000,
    buffer_size=100_000,
    batch_size=32,
    learning_starts=5000,
    train_frequency=1,
    target_frequency=1000,
    exploration_fraction=0.1,
    end_e=0.1,
    huber=True,
    hidden=(128,),
)
# CleanRL's dqn_atari.py with a tenth of its buffer: 100,000 transitions of frames are 5.6 GB.
ATARI = Args(
    env_id="ALE/Pong-v5",
    total_timesteps=10_000_000,
    learning_rate=1e-4,
    buffer_size=100_000,
    batch_size=32,
    learning_starts=80_000,
    train_frequency=4,
    target_frequency=1000,
    exploration_fraction=0.1,
    end_e=0.01,
    hidden=(512,),
    clip_reward=True,
)
PRESETS = {
    "cartpole": CARTPOLE,
    "cartpole-zoo": CARTPOLE_ZOO,
    "acrobot": Args(env_id="Acrobot-v1"),
    "acrobot-zoo": replace(LUNARLANDER, env_id="Acrobot-v1"),
    "lunarlander": LUNARLANDER,
    "minatar": BREAKOUT,
    "atari": ATARI,
    "smoke": Args(total_timesteps=1500, learning_starts=500, checkpoint_every=750, hidden=(32, 32)),
}

if __name__ == "__main__":
    run_command(lambda: run_recipe("dqn", train, PRESETS))
