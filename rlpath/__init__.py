"""rlpath: reinforcement learning with language models, from a first Q-table to a result you can stake a write-up on."""

import os

__version__ = "0.1.0"

# Read by OpenMP when torch is imported, so set before. By default a thread spins for milliseconds at every barrier for
# one that other work has taken off its core: beside one busy process a core, a step collapses.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
