"""A laboratory for contamination: small models trained with planted test items, and what each detector sees of them."""
