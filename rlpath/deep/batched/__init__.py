"""PPO for many seeds in one batch, equal to the seeds run one by one."""
