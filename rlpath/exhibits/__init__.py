"""Experiments that belong to one recipe each: reward hacking, overoptimization, the post-training ladder."""
