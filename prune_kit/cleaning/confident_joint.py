"""The confident joint of given and true labels: how many labels of each class are wrong.

Paper: Northcutt, Jiang, Chuang 2021, Confident Learning, https://arxiv.org/abs/1911.00068, section
3.1. cleanlab (2.9.0) is the package of the authors. It is known here only from its documentation
and its answers. Where it departs from the paper, it is followed, because the numbers are used
beside its own.

All functions require labels (N,) and probabilities (N, C) that `given_probabilities.checked` has
passed. Probabilities are read a block of rows at a time, so that a memory map is never in memory as
a whole. Sums are taken in float64, whatever the probabilities are stored in.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int

from prune_kit.registry import unknown_name_error

# 1 MB in float64: a few temporaries of this size fit in a cache, and numpy's calls cost little
BLOCK_VALUES = 2**17
# cleanlab's: the mean of equal numbers may exceed them by its rounding
CONFIDENCE_TOLERANCE = 1e-6
# cleanlab's: a class whose own rows have probability 0 does not claim every row
LEAST_THRESHOLD = 2e-6
# cleanlab's, for a class without a label: no probability reaches it
UNREACHED_THRESHOLD = 2.0
COLLISIONS = ("row", "confident")


def blocks(
    probabilities: Float[np.ndarray, "N C"],
) -> Iterator[tuple[slice, Float[np.ndarray, "n C"]]]:
    """Iterate over blocks of rows that hold at most BLOCK_VALUES numbers.

    Yields
    ------
    slice, (n, C) float
        The place of a block, and its rows.
    """
    rows, classes = probabilities.shape
    step = max(1, BLOCK_VALUES // classes)
    for start in range(0, rows, step):
        place = slice(start, min(start + step, rows))
        yield place, np.asarray(probabilities[place])


def self_confidence(
    label: Int[np.ndarray, "N"], probabilities: Float[np.ndarray, "N C"]
) -> Float[np.ndarray, "N"]:
    """The probability of each given label, p(y_i | x_i), in [0, 1], in the stored precision."""
    confidence = np.empty(len(label), dtype=probabilities.dtype)
    for rows, block in blocks(probabilities):
        confidence[rows] = block[np.arange(len(block)), label[rows]]
    return confidence


def class_thresholds(
    label: Int[np.ndarray, "N"], probabilities: Float[np.ndarray, "N C"]
) -> Float[np.ndarray, "C"]:
    """The mean probability of each class among the rows with this label; the paper's equation 2.

        t_j = mean_{i: y_i = j} p_ij        in [2e-6, 1], at least 2e-6 as in cleanlab
        t_j = 2                             of a class without a label, as in cleanlab

    Parameters
    ----------
    label : (N,) int
        The given labels.
    probabilities : (N, C) float
        The predicted probabilities.

    Returns
    -------
    (C,) float64
        A row with p_ij >= t_j is confidently counted as class j.
    """
    confidence = self_confidence(label, probabilities)
    rows = np.bincount(label, minlength=probabilities.shape[1])
    total = np.bincount(label, weights=confidence, minlength=probabilities.shape[1])
    mean = np.maximum(total / np.maximum(rows, 1), LEAST_THRESHOLD)
    thresholds: np.ndarray = np.where(rows > 0, mean, UNREACHED_THRESHOLD)
    return thresholds


def confident_class(
    probabilities: Float[np.ndarray, "N C"],
    thresholds: Float[np.ndarray, "C"],
    *,
    collisions: str = "row",
) -> Int[np.ndarray, "N"]:
    """The class that each row is confidently counted as: the one with p_ij >= t_j - 1e-6.

    Parameters
    ----------
    probabilities : (N, C) float
        The predicted probabilities.
    thresholds : (C,) float
        The t_j of `class_thresholds`.
    collisions : str
        What to take where several classes reach their thresholds. "row", as in cleanlab: the
        largest probability of the whole row, even of a class that misses its threshold.
        "confident", the paper's equation 1: the largest of the classes that reach theirs. The first
        of equal ones.

    Returns
    -------
    (N,) int64
        -1 where no class reaches its threshold.

    Raises
    ------
    OptionError
        `collisions` is unknown.
    """
    if collisions not in COLLISIONS:
        raise unknown_name_error("collisions", collisions, COLLISIONS)
    counted = np.empty(len(probabilities), dtype=np.int64)
    for rows, block in blocks(probabilities):
        sure = block >= thresholds - CONFIDENCE_TOLERANCE
        several = (
            block.argmax(axis=1)
            if collisions == "row"
            else np.where(sure, block, -1).argmax(axis=1)
        )
        number = sure.sum(axis=1)
        only = np.where(number == 1, sure.argmax(axis=1), -1)
        counted[rows] = np.where(number > 1, several, only)
    return counted


def confident_joint(
    label: Int[np.ndarray, "N"],
    probabilities: Float[np.ndarray, "N C"],
    *,
    calibrated: bool = True,
    collisions: str = "row",
) -> Int[np.ndarray, "C C"]:
    """How many rows with label i are confidently counted as class j: the paper's equation 1.

    The diagonal is at least 1, as in cleanlab: every class is taken to have a right label. A class
    without a label has a row of noughts once it is calibrated. Rows can still be counted as such a
    class, where it has the largest probability and two other classes reach their thresholds.

    Parameters
    ----------
    label : (N,) int
        The given labels.
    probabilities : (N, C) float
        The predicted probabilities.
    calibrated : bool
        Scale the counts as `calibrate` does.
    collisions : str
        As in `confident_class`.

    Returns
    -------
    (C, C) int64
        The count of (given i, true j) at [i][j].

    Raises
    ------
    OptionError
        `collisions` is unknown.
    """
    classes = probabilities.shape[1]
    counted = confident_class(
        probabilities, class_thresholds(label, probabilities), collisions=collisions
    )
    sure = counted >= 0
    pairs = np.bincount(label[sure] * classes + counted[sure], minlength=classes * classes)
    counts = pairs.reshape(classes, classes).astype(np.int64)
    np.fill_diagonal(counts, np.maximum(counts.diagonal(), 1))
    return calibrate(counts, np.bincount(label, minlength=classes)) if calibrated else counts


def calibrate(
    counts: Int[np.ndarray, "C C"], label_counts: Int[np.ndarray, "C"]
) -> Int[np.ndarray, "C C"]:
    """Scale a confident joint so that its rows add up to the label counts: the paper's equation 3.

    Parameters
    ----------
    counts : (C, C) int
        Each row must have a count above 0.
    label_counts : (C,) int
        The number of rows with each label, N together.

    Returns
    -------
    (C, C) int64
        Whole numbers, by `rounded`, of N times the joint.
    """
    scaled = counts / counts.sum(axis=1, keepdims=True) * label_counts[:, None]
    # cleanlab's order of operations, and its sum down the columns: of two numbers that should be
    # rounded alike, the last bits say which one is
    return rounded(scaled / np.asfortranarray(scaled).sum() * label_counts.sum())


def rounded(matrix: Float[np.ndarray, "r c"]) -> Int[np.ndarray, "r c"]:
    """Round a matrix (r, c) to whole numbers that keep the rounded sum of each row.

    Every number is rounded, a half to the even neighbour. Where the sum then misses by k, the k
    numbers that gain the least are rounded the other way. Of equal ones, numpy's default sort
    decides, as in cleanlab: the last go up and the first go down, but on processors for which
    numpy has a sort of its own (AVX2, AVX-512), and in rows of more than 16 numbers, others may.
    """
    whole = np.rint(matrix)
    missing = np.rint(matrix.sum(axis=1)) - whole.sum(axis=1)
    order = np.argsort(matrix - whole, axis=1)
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.arange(matrix.shape[1])[None], axis=1)
    up = rank >= matrix.shape[1] - missing[:, None]
    down = rank < -missing[:, None]
    numbers: np.ndarray = (whole + up - down).astype(np.int64)
    return numbers


def joint(counts: Int[np.ndarray, "C C"]) -> Float[np.ndarray, "C C"]:
    """The shares (C, C) of all rows with given class i and true class j, from calibrated counts."""
    shares: np.ndarray = counts / counts.sum()
    return shares


def wrong_share(counts: Int[np.ndarray, "C C"]) -> float:
    """The estimated share of wrong labels, 1 - trace(joint), in [0, 1], from calibrated counts."""
    return float(1 - counts.trace() / counts.sum())


def noise_matrix(counts: Int[np.ndarray, "C C"]) -> Float[np.ndarray, "C C"]:
    """p(given i | true j) at [i][j]. A column adds up to 1; NaN for a class that is never true."""
    total = counts.sum(axis=0)
    shares: np.ndarray = counts / np.where(total, total, np.nan)
    return shares


def inverse_noise_matrix(counts: Int[np.ndarray, "C C"]) -> Float[np.ndarray, "C C"]:
    """p(true i | given j) at [i][j]. A column adds up to 1; NaN for a class that is never given."""
    total = counts.sum(axis=1)
    shares: np.ndarray = counts / np.where(total, total, np.nan)[:, None]
    return shares.T
