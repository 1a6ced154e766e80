"""What TRL lacks for post-training: a GRPO step that is fast on small machines, seeded, resumable and observed."""
