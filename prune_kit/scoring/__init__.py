"""From the methods asked for to the columns of a score table."""
