"""One file a verifier: numbers, choices, exact text, formats, instructions, JSON, code."""
