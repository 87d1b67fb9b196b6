"""One file per data source. Each has `load(location, *, image_size, progress) -> Dataset`."""
