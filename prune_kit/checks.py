"""How many networks are asked for, and from which seed on: refused before anything is read or trained."""

from prune_kit.errors import OptionError

MOST_RUNS = 10_000


def check_seeds(runs: int = 1, seed: int | None = None) -> None:
    """Raise OptionError unless `runs` is 1 to 10,000 and the first `seed`, where it is given, 0 or more."""
    if not 1 <= runs <= MOST_RUNS:
        raise OptionError(f"--runs {runs} is out of range; at least 1, at most {MOST_RUNS:,}")
    if seed is not None and seed < 0:
        raise OptionError(f"--seed {seed} is out of range; at least 0")
