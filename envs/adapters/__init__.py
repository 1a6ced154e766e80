"""Environments of other toolkits as ours, and ours as theirs; what each adapter carries over is in its README."""
