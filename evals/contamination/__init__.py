"""Has the model seen the test? Overlap of training text with test sets, detectors on the model, and a lab for both."""
