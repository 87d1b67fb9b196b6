"""The figures of a report, and of the commands that draw."""
