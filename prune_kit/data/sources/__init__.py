"""The data sources, one file each. A source has `load(location, *, image_size, progress)`."""
