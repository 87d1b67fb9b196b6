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

The first five leave out rows whose label has the largest probability. The first three find nothing
in a class with one row, or with no more than `min_examples_per_class`.

The answers differ from cleanlab's in these points alone:

- Equal scores keep the order of the rows: at the end of what a filter takes, and in a ranking.
  cleanlab leaves them to an unstable sort, whose order depends on the machine.
- Sums are taken in float64, and float128 is rounded to it. So a float32 row within rounding of a
  threshold may fall on its other side.
- With `multi_label`, a ranking after low_self_confidence or low_normalized_margin has the most
  suspect row first. cleanlab finds the same rows, in an order that is not that of the ranking.

And these are accepted or refused where cleanlab does the opposite:

- Tensors, tuples, nested lists, lists of counts, and labels of one class alone are accepted.
- NaN, rows that do not add up to 1 within 0.01 (without `multi_label`), shares outside [0, 1],
  numbers below 0 and an unknown filter are errors of `prune_kit.errors`.
- There is no warning of an option that a filter does not use, nor of a class with too few rows.
"""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from prune_kit.cleaning import confident_joint as joints
from prune_kit.cleaning.given_probabilities import checked
from prune_kit.cleaning.issue_filters import PRUNING, issue_mask
from prune_kit.cleaning.issue_options import (
    check_filter,
    checked_joint,
    checked_numbers,
    checked_ranking,
)
from prune_kit.cleaning.label_quality import label_quality
from prune_kit.cleaning.multilabel_issues import find_multilabel_issues


def find_label_issues(
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
    n_jobs: int | None = None,
    verbose: bool = False,
    multi_label: bool = False,
) -> Bool[np.ndarray, "N"] | Int[np.ndarray, "I"]:
    """Find the rows whose given label is likely wrong: those that cleanlab finds.

    Equal scores keep the order of the rows. The module's docstring says what each filter finds,
    and where the answers, or what is accepted, differ from cleanlab's.

    Parameters
    ----------
    labels : (N,) int
        Class numbers from 0 to C - 1: an array, a list or a tensor. A class may have none.
    pred_probs : (N, C) float
        The probabilities that a network predicts for rows it was not trained on: an array, nested
        lists, a tensor, or a memory map, read a block of rows at a time.
    return_indices_ranked_by : str, optional
        A ranking of `label_quality`. The default is a mask of all rows.
    rank_by_kwargs : dict, optional
        {"adjust_pred_probs": True} ranks with the `thresholds` of `label_quality`. It does not go
        with confidence_weighted_entropy.
    filter_by : str
        prune_by_noise_rate, prune_by_class, both, confident_learning, predicted_neq_given,
        low_self_confidence or low_normalized_margin.
    frac_noise : float
        The share of each C[i][j], i != j, that is used, in [0, 1]. This and the next three are for
        the first three filters. The others refuse numbers to remove, and ignore the rest.
    num_to_remove_per_class : int or (C,) int, optional
        How many rows to find at most: of each given class for prune_by_class, of each true class
        for prune_by_noise_rate (see `removal_counts`). A single number is for every class.
    min_examples_per_class : int
        How many rows of a class are kept.
    confident_joint : (C, C), optional
        Used for C as it is. The default is the calibrated one.
    n_jobs, verbose
        Ignored: there is one process, and it prints nothing.
    multi_label : bool
        Each entry of `labels` is a list of classes: `find_multilabel_issues` answers. Deprecated,
        as in cleanlab, in favour of calling it.

    Returns
    -------
    (N,) bool or (I,) int
        A mask, or the row numbers of the ranking, most suspect first.

    Raises
    ------
    DataError
        Labels or probabilities are not as described.
    OptionError
        An option is unknown, out of range, or not supported by the filter.
    """
    find = _deprecated_multilabel_issues if multi_label else _find_single_label_issues
    return find(
        labels,
        pred_probs,
        return_indices_ranked_by=return_indices_ranked_by,
        rank_by_kwargs=rank_by_kwargs,
        filter_by=filter_by,
        frac_noise=frac_noise,
        num_to_remove_per_class=num_to_remove_per_class,
        min_examples_per_class=min_examples_per_class,
        confident_joint=confident_joint,
    )


def _deprecated_multilabel_issues(
    labels: Any, pred_probs: Any, **options: Any
) -> Bool[np.ndarray, "N"] | Int[np.ndarray, "I"]:
    warnings.warn(
        "multi_label=True is deprecated, as it is in cleanlab: call "
        "prune_kit.cleaning.multilabel_issues.find_multilabel_issues",
        DeprecationWarning,
        stacklevel=3,
    )
    return find_multilabel_issues(labels, pred_probs, **options)


def _find_single_label_issues(
    labels: Any,
    pred_probs: Any,
    *,
    return_indices_ranked_by: str | None,
    rank_by_kwargs: Mapping[str, Any] | None,
    filter_by: str,
    frac_noise: float,
    num_to_remove_per_class: Any,
    min_examples_per_class: int,
    confident_joint: Any,
) -> Bool[np.ndarray, "N"] | Int[np.ndarray, "I"]:
    check_filter(filter_by, frac_noise, min_examples_per_class, num_to_remove_per_class)
    adjusted = checked_ranking(return_indices_ranked_by, rank_by_kwargs)
    label, probabilities = checked(labels, pred_probs, absent_classes=True)
    classes = probabilities.shape[1]
    counts = remove = None
    if filter_by in PRUNING:
        if confident_joint is not None:
            counts = checked_joint(confident_joint, (classes, classes))
        if num_to_remove_per_class is not None:
            remove = checked_numbers(num_to_remove_per_class, classes)
    mask = issue_mask(
        label,
        probabilities,
        filter_by,
        counts=counts,
        frac_noise=frac_noise,
        min_examples_per_class=min_examples_per_class,
        remove=remove,
    )
    if return_indices_ranked_by is None:
        return mask
    issues = np.flatnonzero(mask)
    thresholds = joints.class_thresholds(label, probabilities) if adjusted else None
    score = label_quality(label, probabilities, return_indices_ranked_by, thresholds=thresholds)
    return issues[np.argsort(score[issues], kind="stable")]
