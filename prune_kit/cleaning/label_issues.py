"""Which labels are likely wrong, for somebody who already holds predicted probabilities: confident learning.

Paper: Northcutt, Jiang, Chuang 2021, https://arxiv.org/abs/1911.00068, section 3.2. The call and
its meaning are those of `cleanlab.filter.find_label_issues` (2.9.0), written from the paper, its
documentation and what it answers.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike

from prune_kit.cleaning import confident_joint as joints
from prune_kit.cleaning.confident_joint import BLOCK_VALUES, blocks
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
RANKINGS = ("self_confidence", "normalized_margin", "confidence_weighted_entropy")
LEAST = 1e-6  # cleanlab's floor of the divisors in confidence_weighted_entropy


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
    """The rows whose given label is likely wrong: a mask of all rows or, ranked, their numbers, most suspect first.

    `labels` (N,) are class numbers from 0, `pred_probs` (N, C) the probabilities that a network
    predicts for rows it was not trained on: a numpy array or memory map, read a block of rows at a
    time. `filter_by` says which rows:

        prune_by_noise_rate   for every pair of classes (i given, j true), the C[i][j] rows with the largest p_j - p_i
        prune_by_class        for every class i, the sum_{j != i} C[i][j] rows with the smallest p_i
        both                  those in both of them
        confident_learning    those counted off the diagonal of the confident joint C
        predicted_neq_given   those whose label has not the largest probability
        low_self_confidence   as many as confident_learning finds, those with the smallest p_i
        low_normalized_margin the same with p_i - max_{j != i} p_j

    The first four leave out rows whose label has the largest probability. The rankings are
    `label_quality`'s. Only the first three take `frac_noise`, the share (0 to 1) of each C[i][j], i
    != j, that is used; `min_examples_per_class`, how many rows of a class are let be; and
    `confident_joint` (C, C), to be used for C as it is, where the calibrated one is estimated
    otherwise. `num_to_remove_per_class` (C,) says for prune_by_class how many rows of each class.

    Of cleanlab's arguments, `rank_by_kwargs`, `n_jobs`, `verbose` and `multi_label` are lacking.
    Otherwise the answers differ in this alone: equal scores keep the order of the rows, where
    cleanlab's unstable sorts order them as the machine does (in a ranking, at a cut, and where a
    calibrated count is rounded: then one more or less); options that a filter does not use are
    refused, and so is `num_to_remove_per_class` with prune_by_noise_rate, where cleanlab counts it
    per true class; a class without a label is an error, and one with too few rows no warning; sums
    are taken in float64, so that a float32 row within their rounding of a threshold may fall on its
    other side.

    Raises DataError for labels or probabilities that are not what they should be, OptionError for
    all else.
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
    own = joints.self_confidence(label, probabilities)
    mask = _beaten(own, probabilities)
    if filter_by in PRUNING:
        if counts is None:
            counts = joints.confident_joint(label, probabilities)
        to_prune = prune_counts(
            counts, min_examples_per_class=min_examples_per_class, frac_noise=frac_noise
        )
        mask &= (label_counts > min_examples_per_class)[label]
        if filter_by != "prune_by_noise_rate":
            mask &= _least_confident(
                label, own, label_counts - to_prune.diagonal() if remove is None else remove
            )
        if filter_by != "prune_by_class":
            mask &= _largest_margins(label, own, probabilities, to_prune)
    elif filter_by != "predicted_neq_given":
        counted = joints.confident_class(
            probabilities, joints.class_thresholds(label, probabilities)
        )
        mask &= (counted >= 0) & (counted != label)
        if filter_by != "confident_learning":
            score = label_quality(label, probabilities, filter_by.removeprefix("low_"))
            lowest = np.argsort(score, kind="stable")[: np.count_nonzero(mask)]
            mask = np.zeros(len(label), dtype=bool)
            mask[lowest] = True
    if return_indices_ranked_by is None:
        return mask
    found = np.flatnonzero(mask)
    score = label_quality(label, probabilities, return_indices_ranked_by)[found]
    return found[np.argsort(score, kind="stable")]


def label_quality(
    label: Int[np.ndarray, "N"], probabilities: Float[np.ndarray, "N C"], ranking: str
) -> Float[np.ndarray, "N"]:
    """How much each label is to be trusted, lower is more suspect.

        self_confidence               p_y                                                       in [0, 1]
        normalized_margin             p_y - max_{c != y} p_c                                    in [-1, 1]
        confidence_weighted_entropy   log(1 + x) / x,  x = -sum_c p_c log p_c / (log C * p_y)   in [0, 1]

    Both divisors are at least 1e-6 as in cleanlab, so that the last is 0 at x = 0, and a prediction
    that contradicts the label almost for certain, whose entropy is next to 0, is not suspect by it.
    (cleanlab's margin is (m + 1) / 2.)
    """
    own = joints.self_confidence(label, probabilities)
    if ranking == "self_confidence":
        return own
    score = np.empty(
        len(label), dtype=probabilities.dtype if ranking == "normalized_margin" else np.float64
    )
    for rows, block in blocks(probabilities):
        if ranking == "normalized_margin":
            others = block.copy()
            others[np.arange(len(block)), label[rows]] = -1
            score[rows] = own[rows] - others.max(axis=1)
        else:
            p = block.astype(np.float64)
            entropy = -(p * np.log(np.where(p > 0, p, 1))).sum(axis=1) / np.log(max(p.shape[1], 2))
            x = entropy / np.maximum(own[rows].astype(np.float64), LEAST)
            score[rows] = np.log1p(x) / np.maximum(x, LEAST)
    return score


def prune_counts(
    counts: Int[np.ndarray, "C C"] | Float[np.ndarray, "C C"],
    *,
    min_examples_per_class: int = 1,
    frac_noise: float = 1,
) -> Int[np.ndarray, "C C"]:
    """How many rows to prune of every pair (given i, true j), and on the diagonal how many of class i to keep.

    A diagonal below `min_examples_per_class` is raised to it, at the equal cost of the row's other
    counts above 0. Then these are multiplied by `frac_noise`, the diagonal gains what they lose,
    and all are rounded down.
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


def _beaten(
    own: Float[np.ndarray, "N"], probabilities: Float[np.ndarray, "N C"]
) -> Bool[np.ndarray, "N"]:
    """Where another class has a larger probability than the given one."""
    found = np.empty(len(own), dtype=bool)
    for rows, block in blocks(probabilities):
        found[rows] = block.max(axis=1) > own[rows]
    return found


def _least_confident(
    label: Int[np.ndarray, "N"], own: Float[np.ndarray, "N"], numbers: Int[np.ndarray, "C"]
) -> Bool[np.ndarray, "N"]:
    order = np.lexsort((own, label))
    chosen = np.zeros(len(label), dtype=bool)
    chosen[order[_place_in_group(label[order]) < numbers[label[order]]]] = True
    return chosen


def _largest_margins(
    label: Int[np.ndarray, "N"],
    own: Float[np.ndarray, "N"],
    probabilities: Float[np.ndarray, "N C"],
    to_prune: Int[np.ndarray, "C C"],
) -> Bool[np.ndarray, "N"]:
    """The to_prune[i][j] rows of class i with the largest p_j - p_i, for all i != j, in one pass.

    `bar` is what a margin must exceed to be among the best so far of its pair. Rows above it are
    held until there are twice as many as can stay, so that O(N + C^2) and a block are in memory.
    """
    classes = len(to_prune)
    wanted = np.where(np.eye(classes, dtype=bool), 0, to_prune).ravel()
    bar = np.where(wanted > 0, -np.inf, np.inf).astype(probabilities.dtype)
    most = 2 * int(wanted.sum()) + BLOCK_VALUES
    pair, row, margin = (
        np.empty(0, np.int64),
        np.empty(0, np.int64),
        np.empty(0, probabilities.dtype),
    )
    for rows, block in blocks(probabilities):
        given = label[rows]
        margins = block - own[rows][:, None]
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
            f"filter_by={filter_by!r} takes no {', '.join(refused)}; {', '.join(PRUNING)} do"
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
