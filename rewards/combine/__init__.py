"""Combine rewards: gates, penalties, reward models, and the adapter for TRL."""
