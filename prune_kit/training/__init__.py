"""The training loop, and nothing else."""
