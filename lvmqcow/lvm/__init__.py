"""Runs LVM commands, reads LVM's reports, and lists the devices that LVM makes."""
