"""What a run leaves behind: its folder, provenance, plan, seeds, curves, progress and the machine it ran on."""
