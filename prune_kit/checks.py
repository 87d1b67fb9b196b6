"""Checks of the number of networks and the first seed, before anything is read or trained."""

from prune_kit.errors import OptionError

MOST_RUNS = 10_000


def check_seeds(runs: int = 1, seed: int | None = None) -> None:
    """Check how many networks are asked for, and the first seed.

    Parameters
    ----------
    runs
        The number of networks, 1 to 10,000.
    seed
        The first seed, 0 or more. None if it is not given.

    Raises
    ------
    OptionError
        If one of them is out of range.
    """
    if not 1 <= runs <= MOST_RUNS:
        raise OptionError(f"runs={runs} is out of range; at least 1, at most {MOST_RUNS:,}")
    if seed is not None and seed < 0:
        raise OptionError(f"seed={seed} is out of range; at least 0")
