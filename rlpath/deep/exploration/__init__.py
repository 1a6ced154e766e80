"""Exploration by what is not known yet: bootstrapped DQN on DeepSea."""
