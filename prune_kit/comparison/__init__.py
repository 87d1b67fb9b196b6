"""Whether scores agree."""

ENOUGH = 0.95  # the Spearman of independent means from which on their runs are enough
