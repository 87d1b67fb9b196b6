"""Data sets: `Dataset`, the identity of its examples, and one file per source in `sources/`."""
