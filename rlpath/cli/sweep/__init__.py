"""`rlpath sweep`: a recipe over seeds and a grid of settings, on this machine or on Ray."""
