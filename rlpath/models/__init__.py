"""Load language models and sample from them."""
