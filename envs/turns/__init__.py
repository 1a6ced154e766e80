"""Environments of several turns, in which a model acts by calling tools: see envs/README.md."""
