"""The cache of trainings, and who trains them."""
