"""What several deep-RL algorithms share: networks, replay, vector environments, normalization, the training loop."""
