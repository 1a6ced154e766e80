"""Reports, model cards and exports of what was measured."""
