"""Data sets: the noun `Dataset`, and one file per source in `sources/`."""
