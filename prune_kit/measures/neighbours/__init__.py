"""Distances between examples: densities, outliers, and the spaces in which they are measured."""
