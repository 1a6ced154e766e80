"""Is it right? Verifiers that read a completion beside the gold answer; importing them needs no torch."""
