"""Compare models, seeds and runs: paired tests, power, reference curves, plans."""
