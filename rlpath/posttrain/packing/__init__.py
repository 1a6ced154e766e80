"""Packed forward passes: shared prompts computed once, no padding."""
