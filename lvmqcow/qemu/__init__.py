"""Runs qemu-img and qemu-nbd, and decides which images may be opened."""
