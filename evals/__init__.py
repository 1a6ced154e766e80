"""What may we claim? Held-out problems, evaluation, paired comparison and the report."""
