"""The engine carries out requests: it takes locks, recovers, plans, and runs the steps one by one on a host."""
