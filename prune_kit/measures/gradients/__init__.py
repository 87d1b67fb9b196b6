"""Gradients of single examples: their norms, computed for all examples of a batch at once."""
