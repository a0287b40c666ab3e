"""The lab on a machine that has no device-mapper: a User-mode Linux kernel, and what it needs."""
