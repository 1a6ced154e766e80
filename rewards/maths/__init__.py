"""Mathematical answers: a grammar of our own, exact and many-digit comparison, and the verifier on top."""

from rlpath.rewards.maths.verifier import MathVerifier

__all__ = ["MathVerifier"]
