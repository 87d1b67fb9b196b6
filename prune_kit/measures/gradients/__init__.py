"""Gradients of single examples: their norms, for all examples of a batch at once."""
