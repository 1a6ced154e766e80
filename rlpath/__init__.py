"""rlpath: reinforcement learning with language models, from a first Q-table to a result you can stake a write-up on."""

__version__ = "0.1.0"
