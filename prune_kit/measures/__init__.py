"""Measurements on a network or in a feature space. Nothing here trains a network."""
