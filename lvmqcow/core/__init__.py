"""The words of the field and the picture of a volume group: pure values, no input or output."""
