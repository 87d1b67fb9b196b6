"""Seeded, stratified draws of rows: the held-out test rows, and those of a validation split."""

import numpy as np
from jaxtyping import Int

TEST_SHARE = 0.2
TEST_SEED = 0


def held_out_rows(label: Int[np.ndarray, "N"]) -> Int[np.ndarray, "M"]:
    """The rows that are held out as a test set: a seeded, stratified fifth.

    Parameters
    ----------
    label
        The label of each row.

    Returns
    -------
    (M,)
        The row numbers, ascending. Of each class, a fifth of its rows, rounded.
    """
    return stratified(label, TEST_SHARE, TEST_SEED)


def stratified(label: Int[np.ndarray, "N"], share: float, seed: int) -> Int[np.ndarray, "M"]:
    """A seeded share of the rows of each class.

    Parameters
    ----------
    label
        The label of each row.
    share
        The share, 0 to 1. The number of rows of a class is rounded.
    seed
        The seed of the draw.

    Returns
    -------
    (M,)
        The row numbers, ascending.
    """
    chosen = []
    for value in np.unique(label):
        rows = np.flatnonzero(label == value)
        rng = np.random.default_rng([seed, int(value)])
        chosen.append(rng.permutation(rows)[: round(share * len(rows))])
    return np.sort(np.concatenate(chosen))
