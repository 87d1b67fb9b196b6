"""The names of a workdir: what stands there unless a user names it otherwise."""

DEFAULT_WORKDIR = "prune-kit-work"
SCORES = "scores.h5"
RUNS = "runs"  # the folder of the run cache
