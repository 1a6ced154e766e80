"""Run an algorithm over seeds: command line, checkpoints, report."""
