"""Training: one loop, its run cache, and the statistics that a run records."""
