"""Measure a verifier on labeled cases."""
