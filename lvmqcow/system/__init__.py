"""The machine: processes, signals, locks, udev, and what has to be installed."""
