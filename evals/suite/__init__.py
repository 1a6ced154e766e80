"""The honest-eval suite: tasks, the harness that asks them, and what may be said of the result."""
