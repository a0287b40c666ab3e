"""Judge an implementation that is not ours: a driver, any program that speaks JSON lines."""
