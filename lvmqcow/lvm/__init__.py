"""LVM as a tool: its commands, its reports, and the devices it makes."""
