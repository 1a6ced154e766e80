"""A recipe over seeds and a grid of settings: processes on this machine, or tasks on a Ray cluster."""
