"""A volume group in memory, on which the same plans run."""
