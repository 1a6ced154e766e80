"""Read an answer out of a completion."""
