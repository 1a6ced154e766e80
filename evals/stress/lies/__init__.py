"""Ways in which an evaluation lies, shown live on a small model: `rlpath eval --show-lies`."""

from rlpath.evals.stress.lies.lie import Figure, Lie, lies_table, save_lies
from rlpath.evals.stress.lies.material import PLAN, SMOKE
from rlpath.evals.stress.lies.run import LIES, run_lies

__all__ = ["LIES", "PLAN", "SMOKE", "Figure", "Lie", "lies_table", "run_lies", "save_lies"]
