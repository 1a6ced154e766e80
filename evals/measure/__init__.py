"""Measure one model: completions, verdicts and their files."""
