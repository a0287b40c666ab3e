"""A request is carried out here: locks, recovery, planning, and the steps one after the other on a host."""
