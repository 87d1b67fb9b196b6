"""Which rows each filter of `find_label_issues` finds, and how many it looks for.

Paper: Northcutt, Jiang, Chuang 2021, https://arxiv.org/abs/1911.00068, section 3.2. What the paper
leaves open follows the answers of cleanlab (2.9.0).
"""

import numpy as np
from jaxtyping import Bool, Float, Int

from prune_kit.cleaning import confident_joint as joints
from prune_kit.cleaning.confident_joint import BLOCK_VALUES, blocks
from prune_kit.cleaning.label_quality import label_quality

# cleanlab's: a label whose probability is the largest but for its rounding is no issue
PROBABILITY_TOLERANCE = 1e-6
PRUNING = ("prune_by_noise_rate", "prune_by_class", "both")
FILTERS = (
    *PRUNING,
    "confident_learning",
    "predicted_neq_given",
    "low_normalized_margin",
    "low_self_confidence",
)


def issue_mask(
    label: Int[np.ndarray, "N"],
    probabilities: Float[np.ndarray, "N C"],
    filter_by: str,
    *,
    counts: Int[np.ndarray, "C C"] | Float[np.ndarray, "C C"] | None = None,
    frac_noise: float = 1.0,
    min_examples_per_class: int = 1,
    remove: Int[np.ndarray, "C"] | None = None,
) -> Bool[np.ndarray, "N"]:
    """Where the filter finds the label wrong.

    Parameters
    ----------
    label : (N,) int
        The given labels.
    probabilities : (N, C) float
        The predicted probabilities.
    filter_by : str
        One of `FILTERS`.
    counts : (C, C), optional
        The confident joint. The default is the calibrated one. This and the next are for `PRUNING`.
    frac_noise : float
        The share of the counts that is pruned, in [0, 1].
    min_examples_per_class : int
        How many rows of a class are kept.
    remove : (C,) int, optional
        How many rows to find of each given class (prune_by_class) or true one (by noise rate).
    """
    confidence = joints.self_confidence(label, probabilities)
    mask = _beaten(confidence, probabilities)
    if filter_by == "predicted_neq_given":
        return mask
    if filter_by not in PRUNING:
        mask &= _counted_off_the_diagonal(label, probabilities)
        if filter_by == "confident_learning":
            return mask
        score = label_quality(label, probabilities, filter_by.removeprefix("low_"))
        return lowest(score, int(mask.sum()))
    if counts is None:
        counts = joints.confident_joint(label, probabilities)
    to_prune = prune_counts(
        counts, min_examples_per_class=min_examples_per_class, frac_noise=frac_noise
    )
    rows_of = np.bincount(label, minlength=probabilities.shape[1])
    # a class keeps a row, whatever is asked for
    mask &= (rows_of > max(min_examples_per_class, 1))[label]
    if filter_by != "prune_by_noise_rate":
        numbers = rows_of - to_prune.diagonal() if remove is None else remove
        mask &= _least_confident(label, confidence, numbers)
    if filter_by != "prune_by_class":
        pairs = to_prune if remove is None else removal_counts(to_prune, remove)
        mask &= _largest_margins(label, confidence, probabilities, pairs)
    return mask


def prune_counts(
    counts: Int[np.ndarray, "C C"] | Float[np.ndarray, "C C"],
    *,
    min_examples_per_class: int = 1,
    frac_noise: float = 1,
) -> Int[np.ndarray, "C C"]:
    """How many rows of each pair (given i, true j) to prune.

    A diagonal below `min_examples_per_class` is raised to it. The other counts of its row lose
    equal parts, and end at 0. Then these counts are multiplied by `frac_noise`, and the diagonal
    gains what they lose. All are rounded down.

    The parts are the raise, divided by how many counts of the row are above 0, less one: the
    diagonal. Where the diagonal is 0, cleanlab takes one off all the same. So the others lose more
    together than the diagonal gains, and so it is here.

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
    sharing = np.maximum((counts > 0).sum(axis=1) - 1, 1)
    wrong = np.maximum(wrong - ((kept - right) / sharing)[:, None], 0)
    pruned = wrong * frac_noise
    np.fill_diagonal(pruned, kept + wrong.sum(axis=1) - pruned.sum(axis=1))
    exact = np.round(pruned, 9)  # 8.999999999 is 9 that was multiplied and divided
    numbers: np.ndarray = np.floor(exact).astype(np.int64)
    return numbers


def removal_counts(
    to_prune: Int[np.ndarray, "C C"], remove: Int[np.ndarray, "C"]
) -> Int[np.ndarray, "C C"]:
    """How many rows of each pair (given i, true j) to prune, where remove[j] are asked for.

        R[i][j] = remove[j] * w[i][j] / sum_{k != j} w[k][j]
        w[i][j] = P[i][j] / sum_k P[k][i]

    with P = `to_prune`; the numbers of a true class are rounded together. P[i][j] is divided by the
    total of the true class i, not of j: this is what cleanlab does. A true class j is left out
    where nothing is counted as it but itself, and where nothing at all is counted as another one.

    Parameters
    ----------
    to_prune : (C, C) int
        As `prune_counts` returns it.
    remove : (C,) int
        The number of rows for each true class.

    Returns
    -------
    (C, C) int64
        The diagonal is 0.
    """
    total = to_prune.sum(axis=0)
    weight = to_prune / np.maximum(total, 1)[:, None]
    np.fill_diagonal(weight, 0)
    together = weight.sum(axis=0)
    share = weight / np.where(together > 0, together, 1)
    # as cleanlab, which divides by 0 there
    empty = ((total == 0)[:, None] & ~np.eye(len(total), dtype=bool)).any(axis=0)
    return joints.rounded((share * np.where(empty, 0, remove)).T).T


def lowest(score: Float[np.ndarray, "N"], count: int) -> Bool[np.ndarray, "N"]:
    """The `count` rows with the lowest score; of equal ones, the first."""
    mask = np.zeros(len(score), dtype=bool)
    mask[np.argsort(score, kind="stable")[:count]] = True
    return mask


def _counted_off_the_diagonal(
    label: Int[np.ndarray, "N"], probabilities: Float[np.ndarray, "N C"]
) -> Bool[np.ndarray, "N"]:
    """Where a row is confidently counted as another class than the given one."""
    thresholds = joints.class_thresholds(label, probabilities)
    counted = joints.confident_class(probabilities, thresholds)
    off_diagonal: np.ndarray = (counted >= 0) & (counted != label)
    return off_diagonal


def _beaten(
    confidence: Float[np.ndarray, "N"], probabilities: Float[np.ndarray, "N C"]
) -> Bool[np.ndarray, "N"]:
    """Where another class has a larger probability than the given one, by more than rounding."""
    beaten = np.empty(len(confidence), dtype=bool)
    for rows, block in blocks(probabilities):
        beaten[rows] = confidence[rows] <= block.max(axis=1) - PROBABILITY_TOLERANCE
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
