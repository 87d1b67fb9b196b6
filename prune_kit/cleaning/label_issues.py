"""Which labels are likely wrong, by confident learning from given probabilities.

Paper: Northcutt, Jiang, Chuang 2021, https://arxiv.org/abs/1911.00068, section 3.2. The call and
its meaning are those of `cleanlab.filter.find_label_issues` (2.9.0). They were written from the
paper, from its documentation and from its answers.

The filters, with C the confident joint, i the given and j the true class:

    prune_by_noise_rate    for each pair (i, j), the C[i][j] rows with the largest p_j - p_i
    prune_by_class         for each i, the sum_{j != i} C[i][j] rows with the smallest p_i
    both                   the rows that are in both of them
    confident_learning     the rows that are counted off the diagonal of C
    predicted_neq_given    the rows whose label does not have the largest probability
    low_self_confidence    as many as confident_learning finds, with the smallest p_i
    low_normalized_margin  as many, with the smallest p_i - max_{j != i} p_j

The first four leave out rows whose label has the largest probability.

The arguments `rank_by_kwargs`, `n_jobs`, `verbose` and `multi_label` of cleanlab do not exist.
The answers differ from cleanlab's in these points:

- Equal scores keep the order of the rows. cleanlab's unstable sorts depend on the machine: in a
  ranking, at a threshold, and where a calibrated count is rounded.
- An option that a filter does not use is refused. So is `num_to_remove_per_class` with
  prune_by_noise_rate, where cleanlab counts it per true class.
- A class without a label is an error. A class with too few rows is no warning.
- Sums are taken in float64, so that a float32 row within rounding of a threshold may fall on
  its other side.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike

from prune_kit.cleaning import confident_joint as joints
from prune_kit.cleaning.confident_joint import BLOCK_VALUES, blocks
from prune_kit.cleaning.label_quality import RANKINGS, label_quality
from prune_kit.errors import OptionError
from prune_kit.registry import unknown_name_error

PRUNING = ("prune_by_noise_rate", "prune_by_class", "both")
FILTERS = (
    *PRUNING,
    "confident_learning",
    "predicted_neq_given",
    "low_normalized_margin",
    "low_self_confidence",
)


def find_label_issues(
    labels: ArrayLike,
    pred_probs: Any,
    *,
    return_indices_ranked_by: str | None = None,
    filter_by: str = "prune_by_noise_rate",
    frac_noise: float = 1.0,
    num_to_remove_per_class: Sequence[int] | Int[np.ndarray, "C"] | None = None,
    min_examples_per_class: int = 1,
    confident_joint: ArrayLike | None = None,
) -> Bool[np.ndarray, "N"] | Int[np.ndarray, "I"]:
    """Find the rows whose given label is likely wrong.

    Parameters
    ----------
    labels : (N,) int
        Class numbers from 0 to C - 1.
    pred_probs : (N, C) float
        The probabilities that a network predicts for rows it was not trained on: a numpy array or a
        memory map, read a block of rows at a time.
    return_indices_ranked_by : str, optional
        A ranking of `label_quality`. The default is a mask of all rows.
    filter_by : str
        One of the filters above.
    frac_noise : float
        The share of each C[i][j], i != j, that is used, in [0, 1]. For the first three filters.
    num_to_remove_per_class : (C,) int, optional
        How many rows of each class to find. For prune_by_class.
    min_examples_per_class : int
        How many rows of a class are kept. For the first three filters.
    confident_joint : (C, C), optional
        Used for C as it is. The default is the calibrated one. For the first three filters.

    Returns
    -------
    (N,) bool or (I,) int
        A mask, or the row numbers of the ranking, most suspect first.

    Raises
    ------
    DataError
        Labels or probabilities are not as described.
    OptionError
        An option is unknown, out of range, or not used by the filter.
    """
    _check_words(filter_by, return_indices_ranked_by)
    label, probabilities = joints.checked(labels, pred_probs)
    label_counts = np.bincount(label, minlength=probabilities.shape[1])
    counts = None if confident_joint is None else _checked_joint(confident_joint, len(label_counts))
    remove = (
        None
        if num_to_remove_per_class is None
        else _checked_numbers(num_to_remove_per_class, label_counts)
    )
    _check_options(
        filter_by, frac_noise, min_examples_per_class, counts is not None, remove is not None
    )
    confidence = joints.self_confidence(label, probabilities)
    mask = _beaten(confidence, probabilities)
    if filter_by in PRUNING:
        if counts is None:
            counts = joints.confident_joint(label, probabilities)
        to_prune = prune_counts(
            counts, min_examples_per_class=min_examples_per_class, frac_noise=frac_noise
        )
        mask &= (label_counts > min_examples_per_class)[label]
        if filter_by != "prune_by_noise_rate":
            numbers = label_counts - to_prune.diagonal() if remove is None else remove
            mask &= _least_confident(label, confidence, numbers)
        if filter_by != "prune_by_class":
            mask &= _largest_margins(label, confidence, probabilities, to_prune)
    elif filter_by != "predicted_neq_given":
        mask &= _counted_off_the_diagonal(label, probabilities)
        if filter_by != "confident_learning":
            mask = _lowest(label, probabilities, filter_by, int(mask.sum()))
    if return_indices_ranked_by is None:
        return mask
    issues = np.flatnonzero(mask)
    score = label_quality(label, probabilities, return_indices_ranked_by)[issues]
    return issues[np.argsort(score, kind="stable")]


def prune_counts(
    counts: Int[np.ndarray, "C C"] | Float[np.ndarray, "C C"],
    *,
    min_examples_per_class: int = 1,
    frac_noise: float = 1,
) -> Int[np.ndarray, "C C"]:
    """How many rows of each pair (given i, true j) to prune.

    A diagonal below `min_examples_per_class` is raised to it. The other counts above 0 of its row
    lose equal parts. Then these counts are multiplied by `frac_noise`, and the diagonal gains what
    they lose. All are rounded down.

    Parameters
    ----------
    counts : (C, C) int or float
        A confident joint.
    min_examples_per_class : int
        How many rows of each class are kept at least.
    frac_noise : float
        The share of the counts that is pruned, in [0, 1].

    Returns
    -------
    (C, C) int64
        On the diagonal, how many rows of class i to keep.
    """
    right = counts.diagonal()
    kept = np.maximum(right, min_examples_per_class)
    wrong = counts.astype(np.float64)
    np.fill_diagonal(wrong, 0)
    wrong = np.maximum(
        wrong - ((kept - right) / np.maximum((wrong > 0).sum(axis=1), 1))[:, None], 0
    )
    pruned = wrong * frac_noise
    np.fill_diagonal(pruned, kept + wrong.sum(axis=1) - pruned.sum(axis=1))
    exact = np.round(pruned, 9)  # 8.999999999 is 9 that was multiplied and divided
    numbers: np.ndarray = np.floor(exact).astype(np.int64)
    return numbers


def _counted_off_the_diagonal(
    label: Int[np.ndarray, "N"], probabilities: Float[np.ndarray, "N C"]
) -> Bool[np.ndarray, "N"]:
    """Where a row is confidently counted as another class than the given one."""
    thresholds = joints.class_thresholds(label, probabilities)
    counted = joints.confident_class(probabilities, thresholds)
    off_diagonal: np.ndarray = (counted >= 0) & (counted != label)
    return off_diagonal


def _lowest(
    label: Int[np.ndarray, "N"],
    probabilities: Float[np.ndarray, "N C"],
    filter_by: str,
    count: int,
) -> Bool[np.ndarray, "N"]:
    """The `count` rows with the lowest score that the filter is named after."""
    score = label_quality(label, probabilities, filter_by.removeprefix("low_"))
    mask = np.zeros(len(label), dtype=bool)
    mask[np.argsort(score, kind="stable")[:count]] = True
    return mask


def _beaten(
    confidence: Float[np.ndarray, "N"], probabilities: Float[np.ndarray, "N C"]
) -> Bool[np.ndarray, "N"]:
    """Where another class has a larger probability than the given one."""
    beaten = np.empty(len(confidence), dtype=bool)
    for rows, block in blocks(probabilities):
        beaten[rows] = block.max(axis=1) > confidence[rows]
    return beaten


def _least_confident(
    label: Int[np.ndarray, "N"], confidence: Float[np.ndarray, "N"], numbers: Int[np.ndarray, "C"]
) -> Bool[np.ndarray, "N"]:
    order = np.lexsort((confidence, label))
    chosen = np.zeros(len(label), dtype=bool)
    chosen[order[_place_in_group(label[order]) < numbers[label[order]]]] = True
    return chosen


def _largest_margins(
    label: Int[np.ndarray, "N"],
    confidence: Float[np.ndarray, "N"],
    probabilities: Float[np.ndarray, "N C"],
    to_prune: Int[np.ndarray, "C C"],
) -> Bool[np.ndarray, "N"]:
    """The to_prune[i][j] rows of class i with the largest p_j - p_i, for all i != j, in one pass.

    A margin must exceed `bar` to be among the best of its pair so far. Rows above the bar are held
    until there are twice as many as can stay. So O(N + C^2) numbers and a block are in memory.
    """
    classes = len(to_prune)
    wanted = np.where(np.eye(classes, dtype=bool), 0, to_prune).ravel()
    bar = np.where(wanted > 0, -np.inf, np.inf).astype(probabilities.dtype)
    most = 2 * int(wanted.sum()) + BLOCK_VALUES
    pair = np.empty(0, np.int64)
    row = np.empty(0, np.int64)
    margin = np.empty(0, probabilities.dtype)
    for rows, block in blocks(probabilities):
        given = label[rows]
        margins = block - confidence[rows][:, None]
        i, j = np.nonzero(margins > bar.reshape(classes, classes)[given])
        pair = np.concatenate((pair, given[i] * classes + j))
        row = np.concatenate((row, rows.start + i))
        margin = np.concatenate((margin, margins[i, j]))
        if len(pair) > most or rows.stop == len(label):
            order = np.lexsort((-margin, pair))  # stable: of equal margins, the first row
            place = _place_in_group(pair[order])
            last = order[place == wanted[pair[order]] - 1]
            bar[pair[last]] = margin[last]
            stay = order[place < wanted[pair[order]]]
            pair, row, margin = pair[stay], row[stay], margin[stay]
    chosen = np.zeros(len(label), dtype=bool)
    chosen[row] = True
    return chosen


def _place_in_group(group: Int[np.ndarray, "n"]) -> Int[np.ndarray, "n"]:
    """The place, from 0, of each entry among the equal ones of a sorted array."""
    return np.arange(len(group)) - np.searchsorted(group, group)


def _check_words(filter_by: str, ranking: str | None) -> None:
    if filter_by not in FILTERS:
        raise unknown_name_error("filter_by", filter_by, FILTERS)
    if ranking is not None and ranking not in RANKINGS:
        raise unknown_name_error("return_indices_ranked_by", ranking, RANKINGS)


def _check_options(
    filter_by: str, frac_noise: float, min_examples: int, joint_given: bool, remove_given: bool
) -> None:
    if not 0 <= frac_noise <= 1:
        raise OptionError(f"frac_noise {frac_noise:g} is out of range; it is a share, 0 to 1")
    if min_examples < 0:
        raise OptionError(f"min_examples_per_class {min_examples} is out of range; at least 0")
    if remove_given and (filter_by != "prune_by_class" or joint_given or frac_noise != 1):
        raise OptionError(
            "num_to_remove_per_class goes with filter_by='prune_by_class' alone, and without "
            "confident_joint and frac_noise: it replaces what is estimated from them"
        )
    used = {
        "frac_noise": frac_noise != 1,
        "min_examples_per_class": min_examples != 1,
        "confident_joint": joint_given,
    }
    refused = [name for name, given in used.items() if given]
    if refused and filter_by not in PRUNING:
        raise OptionError(
            f"filter_by={filter_by!r} does not use {', '.join(refused)}; {', '.join(PRUNING)} do"
        )


def _checked_joint(
    given: ArrayLike, classes: int
) -> Int[np.ndarray, "C C"] | Float[np.ndarray, "C C"]:
    counts = np.asarray(given)
    if counts.shape != (classes, classes) or counts.dtype.kind not in "iuf":
        raise OptionError(
            f"confident_joint is {counts.dtype} of shape {counts.shape}; expected numbers of shape "
            f"({classes}, {classes}), a row per given and a column per true class"
        )
    if not ((counts >= 0) & np.isfinite(counts)).all():
        raise OptionError(
            "confident_joint holds numbers below 0, NaN or infinity; expected counts, 0 and above"
        )
    return counts


def _checked_numbers(given: ArrayLike, label_counts: Int[np.ndarray, "C"]) -> Int[np.ndarray, "C"]:
    numbers = np.asarray(given)
    if numbers.shape != label_counts.shape or numbers.dtype.kind not in "iu":
        raise OptionError(
            f"num_to_remove_per_class is {numbers.dtype} of shape {numbers.shape}; expected "
            f"{len(label_counts)} whole numbers, one per class"
        )
    wrong = np.flatnonzero((numbers < 0) | (numbers > label_counts))
    if len(wrong):
        raise OptionError(
            f"num_to_remove_per_class[{wrong[0]}] is {numbers[wrong[0]]}, and the class has "
            f"{label_counts[wrong[0]]:,} rows; expected 0 to as many"
        )
    return numbers
