"""The confident joint of given and true labels: how many labels of each class are wrong.

Paper: Northcutt, Jiang, Chuang 2021, Confident Learning, https://arxiv.org/abs/1911.00068, section
3.1. cleanlab (2.9.0) is the package of the authors. It is known here only from its documentation
and its answers. Where it departs from the paper, it is followed, because the numbers are used
beside its own.

All functions but `checked` require labels (N,) and probabilities (N, C) that `checked` has passed.
Probabilities are read a block of rows at a time, so that a memory map is never in memory as a
whole. Sums are taken in float64, whatever the probabilities are stored in.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from prune_kit.errors import DataError
from prune_kit.registry import unknown_name_error

# 1 MB in float64: a few temporaries of this size fit in a cache, and numpy's calls cost little
BLOCK_VALUES = 2**17
# float16 and three decimals lose less; logits, and scores per class, miss by more
ROW_SUM_TOLERANCE = 0.01
# cleanlab's: the mean of equal numbers may exceed them by its rounding
CONFIDENCE_TOLERANCE = 1e-6
# cleanlab's: a class whose own rows have probability 0 does not claim every row
LEAST_THRESHOLD = 2e-6
COLLISIONS = ("row", "confident")


def checked(
    labels: ArrayLike, pred_probs: Any
) -> tuple[Int[np.ndarray, "N"], Float[np.ndarray, "N C"]]:
    """Check labels and probabilities.

    Parameters
    ----------
    labels : (N,) int
        Class numbers from 0 to C - 1. Each class must have at least one label.
    pred_probs : (N, C) float
        A numpy array or memory map. Each row must add up to 1, within 0.01.

    Returns
    -------
    (N,) int64, (N, C) float
        The labels as an array, and the probabilities as they were given.

    Raises
    ------
    DataError
        Names the first row that is wrong.
    """
    if (
        not isinstance(pred_probs, np.ndarray)
        or pred_probs.ndim != 2
        or pred_probs.dtype.kind != "f"
    ):
        raise DataError(
            f"pred_probs is {_described(pred_probs)}; expected a numpy array (or memory map) of "
            "floats of shape (N, C), a probability per row and class"
        )
    label = np.asarray(labels)
    if label.ndim != 1 or (label.dtype.kind not in "iu" and label.size):
        raise DataError(
            f"labels is {_described(label)}; expected whole numbers of shape (N,), a class number "
            "per row"
        )
    rows, classes = pred_probs.shape
    if len(label) != rows:
        raise DataError(
            f"labels has {len(label):,} entries, pred_probs {rows:,} rows; expected as many of both"
        )
    if rows == 0:
        raise DataError("labels and pred_probs have no rows; expected at least one row per class")
    outside = np.flatnonzero((label < 0) | (label >= classes))
    if len(outside):
        raise DataError(
            f"labels[{outside[0]}] is {label[outside[0]]}, and pred_probs has {classes} columns; "
            f"expected class numbers from 0 to {classes - 1}"
        )
    label = label.astype(np.int64, copy=False)
    absent = np.flatnonzero(np.bincount(label, minlength=classes) == 0)
    if len(absent):
        raise DataError(
            f"no label is {absent[0]} ({len(absent)} of {classes} classes have none); leave out "
            "the columns of such classes, scale the rows to add up to 1 and number the labels anew"
        )
    _check_rows(pred_probs)
    return label, pred_probs


def _described(value: object) -> str:
    return (
        f"{value.dtype} of shape {value.shape}"
        if isinstance(value, np.ndarray)
        else f"a {type(value).__name__}"
    )


def _check_rows(probabilities: Float[np.ndarray, "N C"]) -> None:
    for rows, block in blocks(probabilities):
        least = block.min(axis=1)
        total = block.sum(axis=1, dtype=np.float64)
        right = (least >= 0) & (abs(total - 1) <= ROW_SUM_TOLERANCE)  # False for NaN, too
        if right.all():
            continue
        first = int(np.argmin(right))
        if np.isnan(total[first]):
            what = "holds NaN; expected a probability for every class"
        elif least[first] < 0:
            what = (
                f"holds {least[first]:.6g}; expected probabilities from 0 to 1 (of logits, take "
                "the softmax)"
            )
        else:
            what = (
                f"adds up to {total[first]:.6g}; expected 1, within {ROW_SUM_TOLERANCE} (of "
                "logits, take the softmax)"
            )
        raise DataError(f"row {rows.start + first} of pred_probs {what}")


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
    total = np.bincount(label, weights=confidence, minlength=probabilities.shape[1])
    return np.maximum(total / np.bincount(label, minlength=probabilities.shape[1]), LEAST_THRESHOLD)


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

    The diagonal is at least 1, as in cleanlab: every class is taken to have a right label.

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
        The number of rows with each label.

    Returns
    -------
    (C, C) int64
        Whole numbers, by `rounded`.
    """
    return rounded(counts / counts.sum(axis=1, keepdims=True) * label_counts[:, None])


def rounded(matrix: Float[np.ndarray, "r c"]) -> Int[np.ndarray, "r c"]:
    """Round a matrix (r, c) to whole numbers that keep the rounded sum of each row.

    Every number is rounded, a half to the even neighbour. Where the sum then misses by k, the k
    numbers that gain the least are rounded the other way. Of equal ones, the last go up and the
    first go down. cleanlab leaves equal ones to an unstable sort, so that its counts may differ by
    one from machine to machine.
    """
    whole = np.rint(matrix)
    missing = np.rint(matrix.sum(axis=1)) - whole.sum(axis=1)
    # 1/3 and 4/3 leave the same remainder, whatever their last bits are
    gain = np.round(matrix - whole, 9)
    rank = np.argsort(np.argsort(gain, axis=1, kind="stable"), axis=1)
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
