"""The steps that plans are made of. A step is one action of one tool, as data."""
