"""Measure a verifier on labelled cases."""
