"""What can be wrong with a volume group and its volumes, and what to run for each finding."""
