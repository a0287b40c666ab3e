"""The suites. `lvmqcow.testing.suites.registry` is the list."""
