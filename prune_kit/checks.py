"""Checks of what a verb is given, before anything is read or trained."""

from typing import Any

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


def check_kind(value: object, kind: type[Any], name: str, made_by: str) -> None:
    """Check that a verb is given a value of ours.

    Parameters
    ----------
    value
        The value.
    kind
        The class that it must be of.
    name
        The keyword of the value.
    made_by
        The function that makes such values.

    Raises
    ------
    OptionError
        If it is of another class.
    """
    if not isinstance(value, kind):
        raise OptionError(
            f"`{name}` is {described(value)}; expected a {kind.__name__}, which {made_by} gives"
        )


def described(value: object) -> str:
    """What an object is, for errors: its type, with the length of a tuple or list."""
    kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
    return f"a {kind} of {len(value)}" if isinstance(value, tuple | list) else f"a {kind}"
