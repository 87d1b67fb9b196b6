"""Label issues of rows that have any number of classes: one class against the rest.

Whether class c applies to a row is a label, 1 or 0, and 1 - p_c and p_c are its probabilities. The
filters look at each class by itself. A row is an issue where one of its C labels is. The call and
its meaning are those of `cleanlab.multilabel_classification.filter.find_label_issues` (2.9.0).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from prune_kit.cleaning import confident_joint as joints
from prune_kit.cleaning.given_probabilities import checked_multilabel
from prune_kit.cleaning.issue_filters import PRUNING, issue_mask, lowest
from prune_kit.cleaning.issue_options import (
    check_filter,
    checked_joint,
    checked_numbers,
    checked_ranking,
)
from prune_kit.cleaning.label_quality import label_quality

SMOOTHING = 0.8  # cleanlab's weight of the next lower score


def find_multilabel_issues(
    labels: Any,
    pred_probs: Any,
    *,
    return_indices_ranked_by: str | None = None,
    rank_by_kwargs: Mapping[str, Any] | None = None,
    filter_by: str = "prune_by_noise_rate",
    frac_noise: float = 1.0,
    num_to_remove_per_class: Any = None,
    min_examples_per_class: int = 1,
    confident_joint: Any = None,
) -> Bool[np.ndarray, "N"] | Int[np.ndarray, "I"]:
    """Find the rows with a class that is likely missing, or there by mistake.

    Parameters
    ----------
    labels : N sequences of int
        The class numbers of each row, from 0 to C - 1, such as [[0, 2], [1], []].
    pred_probs : (N, C) float
        The probabilities that each class applies, from a network that was not trained on the row.
        They are read a class at a time, and a row need not add up to 1.
    return_indices_ranked_by : str, optional
        A ranking of `label_quality`, in `multilabel_quality`. The default is a mask of all rows.
    rank_by_kwargs : dict, optional
        As in `find_label_issues`.
    filter_by : str
        A filter of `find_label_issues`. For low_self_confidence and low_normalized_margin, as many
        rows as confident_learning finds, with the lowest `multilabel_quality`.
    frac_noise, min_examples_per_class
        As in `find_label_issues`, for each class against the rest.
    num_to_remove_per_class : int or (C,) int, optional
        How many rows to find of those without class c (prune_by_class), or of those that have it
        and should not (prune_by_noise_rate). With both, nothing is found.
    confident_joint : (C, 2, 2), optional
        The counts of each class, [c][given][true], used as they are. One of shape (C, C) is
        ignored, as in cleanlab.

    Returns
    -------
    (N,) bool or (I,) int
        A mask, or the row numbers of the ranking, most suspect first.

    Raises
    ------
    DataError
        Labels or probabilities are not as described.
    OptionError
        An option is unknown or out of range.
    """
    check_filter(filter_by, frac_noise, min_examples_per_class, num_to_remove_per_class)
    adjusted = checked_ranking(return_indices_ranked_by, rank_by_kwargs)
    members, probabilities = checked_multilabel(labels, pred_probs)
    classes = probabilities.shape[1]
    counts = remove = None
    if filter_by in PRUNING:
        if confident_joint is not None and np.shape(confident_joint) != (classes, classes):
            counts = checked_joint(confident_joint, (classes, 2, 2))
        if num_to_remove_per_class is not None:
            remove = checked_numbers(num_to_remove_per_class, classes)
    mask = np.zeros(len(probabilities), dtype=bool)
    per_class = filter_by.replace("low_self_confidence", "confident_learning")
    per_class = per_class.replace("low_normalized_margin", "confident_learning")
    for c, (label, pair) in enumerate(_against_the_rest(members, probabilities)):
        mask |= issue_mask(
            label,
            pair,
            per_class,
            counts=None if counts is None else counts[c],
            frac_noise=frac_noise,
            min_examples_per_class=min_examples_per_class,
            remove=None if remove is None else np.array([remove[c], 0]),
        )
    if per_class != filter_by:
        score = multilabel_quality(members, probabilities, filter_by.removeprefix("low_"))
        mask = lowest(score, int(mask.sum()))
    if return_indices_ranked_by is None:
        return mask
    issues = np.flatnonzero(mask)
    score = multilabel_quality(members, probabilities, return_indices_ranked_by, adjusted=adjusted)
    return issues[np.argsort(score[issues], kind="stable")]


def multilabel_quality(
    members: Sequence[Int[np.ndarray, "_"]],
    probabilities: Float[np.ndarray, "N C"],
    ranking: str,
    *,
    adjusted: bool = False,
) -> Float[np.ndarray, "N"]:
    """How much the classes of each row are to be trusted together. A lower value is more suspect.

        q = s_1, then q = 0.8 s_k + 0.2 q for k = 2 ... C        s_1 >= s_2 >= ... >= s_C

    with the scores s of `label_quality` of the C labels, so that the lowest weighs most. It is
    cleanlab's. The margin of two probabilities is 2 s - 1, and ranks as the self-confidence s does.

    Parameters
    ----------
    members : C arrays of int
        The rows of each class.
    probabilities : (N, C) float
        The probabilities that each class applies.
    ranking : str
        A ranking of `label_quality`.
    adjusted : bool
        Adjust the probabilities of each class to how many rows have it.

    Returns
    -------
    (N,) float
        In the range of the scores.
    """
    rows, classes = probabilities.shape
    scores = np.empty((rows, classes))
    for c, (label, pair) in enumerate(_against_the_rest(members, probabilities)):
        thresholds = joints.class_thresholds(label, pair) if adjusted else None
        scores[:, c] = label_quality(label, pair, ranking, thresholds=thresholds)
    scores.sort(axis=1)
    quality = scores[:, -1].copy()
    for c in range(classes - 2, -1, -1):
        quality = SMOOTHING * scores[:, c] + (1 - SMOOTHING) * quality
    return quality


def _against_the_rest(
    members: Sequence[Int[np.ndarray, "_"]], probabilities: Float[np.ndarray, "N C"]
) -> Iterator[tuple[Int[np.ndarray, "N"], Float[np.ndarray, "N 2"]]]:
    """For each class, whether it is given, as 1 or 0, and the probabilities of that."""
    for c, rows in enumerate(members):
        label = np.zeros(len(probabilities), dtype=np.int64)
        label[rows] = 1
        applies = np.asarray(probabilities[:, c])
        yield label, np.stack([1 - applies, applies], axis=1)
