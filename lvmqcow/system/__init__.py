"""The machine below: processes, signals, udev, and what has to be installed."""
