"""What the study of reinforcement learning from verifiable rewards measures, tests and shows."""
