"""Drivers that ship with lvmqcow: its own command line, a toy, and the RFC patch."""
