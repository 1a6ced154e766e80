"""The `rlpath` command."""
