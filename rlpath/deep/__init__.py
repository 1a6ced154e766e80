"""Deep reinforcement learning on Gymnasium: one readable file an algorithm, and the little they share."""
