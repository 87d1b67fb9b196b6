"""Labels and probabilities from outside: what is accepted, and what the first wrong row is told.

A numpy array or a memory map stays what it is. Lists, tuples, tensors of torch and columns of
pandas become arrays.
"""

from itertools import chain
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from prune_kit.cleaning.confident_joint import blocks
from prune_kit.errors import DataError

# float16 and three decimals lose less; logits, and scores per class, miss by more
ROW_SUM_TOLERANCE = 0.01
# cleanlab's: what a softmax, or 1 - p, leaves below 0 or above 1
RANGE_TOLERANCE = 1e-6


def checked(
    labels: Any, pred_probs: Any, *, absent_classes: bool = False
) -> tuple[Int[np.ndarray, "N"], Float[np.ndarray, "N C"]]:
    """Check labels and probabilities.

    Parameters
    ----------
    labels : (N,) int
        Class numbers from 0 to C - 1: an array, a list or a tensor.
    pred_probs : (N, C) float
        An array, a memory map, nested lists or a tensor. The numbers must be in [0, 1], within
        1e-6, and each row must add up to 1, within 0.01.
    absent_classes : bool
        Whether a class may be without a label.

    Returns
    -------
    (N,) int64, (N, C) float
        The labels as an array, and the probabilities as they were given. Those of more than double
        precision are rounded to float64.

    Raises
    ------
    DataError
        Names the first row that is wrong.
    """
    probabilities = _probabilities(pred_probs)
    label = _whole_numbers(_array(labels))
    if label is None or label.ndim != 1:
        raise DataError(
            f"labels is {_described(labels)}; expected whole numbers of shape (N,), a class number "
            "per row"
        )
    rows, classes = probabilities.shape
    _check_lengths(len(label), rows)
    outside = np.flatnonzero((label < 0) | (label >= classes))
    if len(outside):
        raise DataError(
            f"labels[{outside[0]}] is {label[outside[0]]}, and pred_probs has {classes} columns; "
            f"expected class numbers from 0 to {classes - 1}"
        )
    absent = np.flatnonzero(np.bincount(label, minlength=classes) == 0)
    if len(absent) and not absent_classes:
        raise DataError(
            f"no label is {absent[0]} ({len(absent)} of {classes} classes have none); leave out "
            "the columns of such classes, scale the rows to add up to 1 and number the labels anew"
        )
    _check_rows(probabilities, add_up=True)
    return label, probabilities


def checked_multilabel(
    labels: Any, pred_probs: Any
) -> tuple[list[Int[np.ndarray, "_"]], Float[np.ndarray, "N C"]]:
    """Check the labels of rows that have any number of classes, and the probabilities.

    Parameters
    ----------
    labels : N sequences of int
        The class numbers, from 0 to C - 1, of each row. A row may have none.
    pred_probs : (N, C) float
        The probability that a class applies to a row, as in `checked`. Rows need not add up to 1.

    Returns
    -------
    list of (n,) int64, (N, C) float
        The rows of each class, ascending, and the probabilities as they were given.

    Raises
    ------
    DataError
        Names the first row that is wrong.
    """
    probabilities = _probabilities(pred_probs)
    expected = "expected a list of class numbers for each row, such as [[0, 2], [1], []]"
    if isinstance(labels, np.ndarray) and labels.ndim != 1:
        raise DataError(
            f"labels is {_described(labels)}; {expected}. Of a matrix with a 1 for each class that "
            "applies, take [np.flatnonzero(row) for row in labels]"
        )
    try:
        lengths = np.array([len(row) for row in labels], dtype=np.int64)
        flat = np.asarray(list(chain.from_iterable(labels)))
    except TypeError as error:
        raise DataError(f"labels does not hold a list for each row; {expected}") from error
    rows, classes = probabilities.shape
    _check_lengths(len(lengths), rows)
    numbers = _whole_numbers(flat)
    if numbers is None or numbers.ndim != 1:
        raise DataError(f"labels does not hold whole numbers alone; {expected}")
    row = np.repeat(np.arange(rows), lengths)
    outside = np.flatnonzero((numbers < 0) | (numbers >= classes))
    if len(outside):
        raise DataError(
            f"labels[{row[outside[0]]}] holds {numbers[outside[0]]}, and pred_probs has {classes} "
            f"columns; expected class numbers from 0 to {classes - 1}"
        )
    _check_rows(probabilities, add_up=False)
    pairs = np.unique(numbers * rows + row)
    bounds = np.searchsorted(pairs, np.arange(classes + 1) * rows)
    return [pairs[bounds[c] : bounds[c + 1]] - c * rows for c in range(classes)], probabilities


def _probabilities(given: Any) -> Float[np.ndarray, "N C"]:
    array = _array(given)
    if array.dtype.kind in "iu" and not isinstance(given, np.ndarray):
        array = array.astype(np.float64)  # a list of 0 and 1
    if array.ndim != 2 or array.dtype.kind != "f" or array.shape[1] == 0:
        raise DataError(
            f"pred_probs is {_described(given)}; expected an array (or memory map, list, tensor) "
            "of floats of shape (N, C), a probability per row and class"
        )
    return array.astype(np.float64) if array.dtype.itemsize > 8 else array


def _array(given: Any) -> np.ndarray:
    """Anything array-like as an array; an empty one of objects where it is nothing of the kind."""
    if isinstance(given, np.ndarray):
        return given
    if hasattr(given, "detach"):  # a tensor: without importing torch
        given = given.detach().cpu()
        given = given.float() if str(given.dtype) == "torch.bfloat16" else given
    try:
        return np.asarray(given)
    except (TypeError, ValueError, RuntimeError):  # ragged lists, for one
        return np.empty((), dtype=object)


def _whole_numbers(array: np.ndarray) -> Int[np.ndarray, "..."] | None:
    """Labels as int64, also those of an empty list and those in objects; None for other things."""
    whole = array.dtype.kind in "iu" or array.size == 0
    if array.dtype.kind == "O" and array.ndim:
        whole = all(isinstance(number, int | np.integer) for number in array.ravel())
    try:
        return array.astype(np.int64, copy=False) if whole else None
    except OverflowError:  # a Python integer of more than 64 bits
        return None


def _described(value: Any) -> str:
    if isinstance(value, np.ndarray) or hasattr(value, "detach"):
        return f"{value.dtype} of shape {tuple(value.shape)}"
    array = _array(value)
    shape = f" of shape {array.shape}" if array.dtype.kind != "O" and array.ndim else ""
    return f"a {type(value).__name__}{shape}"


def _check_lengths(labels: int, rows: int) -> None:
    if labels != rows:
        raise DataError(
            f"labels has {labels:,} entries, pred_probs {rows:,} rows; expected as many of both"
        )
    if rows == 0:
        raise DataError("labels and pred_probs have no rows; expected at least one row per class")


def _check_rows(probabilities: Float[np.ndarray, "N C"], *, add_up: bool) -> None:
    for rows, block in blocks(probabilities):
        least = block.min(axis=1)
        total = block.sum(axis=1, dtype=np.float64)
        right = (least >= -RANGE_TOLERANCE) & np.isfinite(total)  # False for NaN, too
        if add_up:
            right &= abs(total - 1) <= ROW_SUM_TOLERANCE
        else:
            right &= block.max(axis=1) <= 1 + RANGE_TOLERANCE
        if not right.all():
            first = int(np.argmin(right))
            raise DataError(
                f"row {rows.start + first} of pred_probs {_wrong_words(block[first], add_up)}"
            )


def _wrong_words(row: Float[np.ndarray, "C"], add_up: bool) -> str:
    """What is wrong with a row of probabilities, and what to do."""
    total = row.sum(dtype=np.float64)
    if np.isnan(total):
        return "holds NaN; expected a probability for every class"
    if row.min() < -RANGE_TOLERANCE or not add_up:
        outside = row.min() if row.min() < -RANGE_TOLERANCE else row.max()
        return (
            f"holds {outside:.6g}; expected probabilities from 0 to 1 (of logits, take the "
            f"{'softmax' if add_up else 'sigmoid'})"
        )
    return (
        f"adds up to {total:.6g}; expected 1, within {ROW_SUM_TOLERANCE} (of logits, take the "
        "softmax)"
    )
