"""What is asked? Problem sets for training; the test split of a data set is opened in `rlpath.evals` alone."""
