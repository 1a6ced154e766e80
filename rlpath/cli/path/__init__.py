"""The milestones from a blank file to reinforcement learning with a language model, and the runs that show them."""
