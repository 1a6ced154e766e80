"""Tabular reinforcement learning: exact dynamic programming, Monte Carlo and temporal differences, all seeds at once.

numpy alone. Section numbers are those of Sutton & Barto, Reinforcement Learning: An Introduction, 2nd edition (2018).
Array axes: K seeds, S states, A actions, O outcomes of one action.
"""
