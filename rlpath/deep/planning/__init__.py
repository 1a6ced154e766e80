"""Learning with a model of the game: AlphaZero on tic-tac-toe, beside its exact solution."""
