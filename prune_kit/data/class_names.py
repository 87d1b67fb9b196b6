"""Labels under other lists of class names."""

import numpy as np

from prune_kit.errors import IdentityError


def class_numbers(names: tuple[str, ...], others: tuple[str, ...]) -> np.ndarray:
    """The number among `others` of each class of `names`, -1 where it is missing, as int64 (C,)."""
    numbers = {name: number for number, name in enumerate(others)}
    return np.array([numbers.get(name, -1) for name in names], dtype=np.int64)


def carried_labels(
    label: np.ndarray, names: tuple[str, ...], others: tuple[str, ...], where: str
) -> np.ndarray:
    """The labels (n,), numbers of the classes `names`, as numbers of the classes `others`.

    Parameters
    ----------
    label
        The labels.
    names, others
        The class names that the labels refer to, and those that the result refers to.
    where
        What the labels belong to, for the error.

    Returns
    -------
    int64 (n,)
        The same labels by the other numbers.

    Raises
    ------
    IdentityError
        If the class of a label is not among the others.
    """
    carried: np.ndarray = class_numbers(names, others)[label]
    lost = label[carried < 0]
    if len(lost):
        raise IdentityError(
            f"{where} has {len(lost):,} rows labelled {names[lost[0]]!r}, a class that the data "
            f"lack; they have: {', '.join(others[:10])}{', ...' if len(others) > 10 else ''}"
        )
    return carried
