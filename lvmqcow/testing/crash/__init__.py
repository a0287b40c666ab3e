"""Interruptions of every kind: cuts, killed tools, disk errors, power loss."""
