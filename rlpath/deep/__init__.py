"""Deep reinforcement learning: one file an algorithm, each tested against Stable-Baselines3 and CleanRL.

Importing it before torch sets one thread for a process's arithmetic, unless the environment says otherwise: networks
this small are slower with two, and a seed has the same bits alone and beside others only with the same threads.
"""

import os

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
