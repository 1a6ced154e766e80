"""Learning from a fixed set of episodes, without acting in the environment: behavior cloning, CQL, IQL."""
