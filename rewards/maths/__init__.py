"""Mathematical answers: a grammar of our own, exact and many-digit comparison, and the forms a question asks for."""
