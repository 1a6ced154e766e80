"""The evaluation subcommands of `rlpath`."""
