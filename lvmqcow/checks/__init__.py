"""Checks: what is wrong with a volume group and its volumes, and the command to run for each finding."""
