"""How good a list of rows with suspected wrong labels is, where the true labels are known.

A label is wrong where it is not the true one. Precision and recall measure the list. AUROC, average
precision and the precision at the true count measure the ranking, whatever is listed. A number that
is undefined is NaN, never 0 or 1.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from prune_kit.errors import DataError, TableError

UNKNOWN_RATE = (math.nan, math.nan, math.nan)
WRITTEN_STEPS = 200  # of recall: finer than a curve on paper shows, and a few kilobytes of JSON


@dataclass(frozen=True)
class ListQuality:
    """How good the list is.

    Attributes
    ----------
    rows, wrong : int
        The number of rows, and of those with a wrong label.
    flagged, found : int
        The number of listed rows, and of those with a wrong label.
    precision, recall, f1 : float
        found / flagged, found / wrong, and 2 found / (flagged + wrong), in [0, 1]. NaN where the
        divisor is 0.
    suggestions_right : float
        The share of the found rows for which the true label is suggested, in [0, 1]. A row without
        a suggestion counts as not right. NaN where nothing is found, or no row has a suggestion.
    """

    rows: int
    wrong: int
    flagged: int
    found: int
    precision: float
    recall: float
    f1: float
    suggestions_right: float


@dataclass(frozen=True, eq=False)
class Curve:
    """The lists of all k thresholds of the ranking, shortest first.

    Equally suspect rows are always on the same side of a threshold.

    Attributes
    ----------
    listed : (k,) int
        The number of listed rows.
    recall, precision : (k,) float
        In [0, 1]. Recall is NaN where no label is wrong.
    """

    listed: Int[np.ndarray, "k"]
    recall: Float[np.ndarray, "k"]
    precision: Float[np.ndarray, "k"]

    def thinned(self) -> "Curve":
        """The first threshold that reaches each 200th of the wrong labels, and the last one."""
        reached = np.searchsorted(self.recall, np.linspace(0, 1, WRITTEN_STEPS + 1))
        at = np.unique(np.append(reached, len(self.recall) - 1))
        return Curve(self.listed[at], self.recall[at], self.precision[at])


@dataclass(frozen=True, eq=False)
class Evaluation:
    """How good the list and the ranking are.

    The fields from `rows` to `suggestions_right` are those of ListQuality.

    Attributes
    ----------
    auroc : float
        The probability that a wrong label is more suspect than a right one. NaN where all labels
        are wrong, or all right.
    average_precision : float
        The mean precision over the wrong labels. NaN where no label is wrong. Ties are treated as
        in scikit-learn, here and in `auroc`.
    precision_at_wrong : float
        The expected precision among the `wrong` most suspect rows, where tied rows at the border
        are drawn at random.
    true_rate, estimated_rate, rate_low, rate_high : float
        The share of wrong labels, its estimate, and the ends of the interval, in [0, 1].
    rate_error : float
        The estimate minus the truth.
    rate_covered : bool or None
        Whether the interval holds the truth. None without an interval.
    per_class : tuple of ListQuality
        One for each given label.
    curve : Curve
        The lists of all thresholds.
    """

    rows: int
    wrong: int
    flagged: int
    found: int
    precision: float
    recall: float
    f1: float
    suggestions_right: float
    auroc: float
    average_precision: float
    precision_at_wrong: float
    true_rate: float
    estimated_rate: float
    rate_error: float
    rate_low: float
    rate_high: float
    rate_covered: bool | None
    per_class: tuple[ListQuality, ...]
    curve: Curve


def evaluate(
    *,
    suspicion: Float[np.ndarray, "n"],
    flagged: Bool[np.ndarray, "n"],
    label: Int[np.ndarray, "n"],
    true_label: Int[np.ndarray, "n"],
    suggested: Int[np.ndarray, "n"],
    classes: int,
    noise_rate: tuple[float, float, float] = UNKNOWN_RATE,
) -> Evaluation:
    """Evaluate a list of suspected labels, and the ranking behind it.

    Parameters
    ----------
    suspicion : (n,) float
        A higher value is more suspect.
    flagged : (n,) bool
        The rows on the list.
    label, true_label : (n,) int
        From 0 to classes - 1.
    suggested : (n,) int
        The suggested label, -1 where there is none.
    classes : int
        The number of classes.
    noise_rate : (float, float, float)
        The estimated share of wrong labels, and the ends of its interval. NaN where unknown.

    Raises
    ------
    TableError
        There is no row, or a row has no suspicion.
    DataError
        A label is out of range.
    """
    _check_suspicion(suspicion)
    _check_labels("label", label, 0, classes)
    _check_labels("true label", true_label, 0, classes)
    _check_labels("suggested label", suggested, -1, classes)
    wrong = label != true_label
    found = flagged & wrong
    answerable = found & (suggested >= 0).any()
    masks = (
        np.ones_like(wrong),
        wrong,
        flagged,
        found,
        answerable,
        found & (suggested == true_label),
    )
    counts = np.stack([np.bincount(label[mask], minlength=classes) for mask in masks], axis=1)
    whole = _quality(*counts.sum(axis=0).tolist())
    threshold = np.unique(-suspicion, return_inverse=True)[1]
    listed, caught = _counts_by_threshold(threshold, wrong)
    auroc, average_precision = _ranking_quality(threshold, wrong)
    # every tied row between two thresholds adds the same expected number of wrong labels
    caught_at_wrong = float(np.interp(whole.wrong, np.append(0, listed), np.append(0, caught)))
    true_rate = whole.wrong / whole.rows
    rate, low, high = map(float, noise_rate)
    return Evaluation(
        **vars(whole),
        auroc=auroc,
        average_precision=average_precision,
        precision_at_wrong=_share(caught_at_wrong, whole.wrong),
        true_rate=true_rate,
        estimated_rate=rate,
        rate_error=rate - true_rate,
        rate_low=low,
        rate_high=high,
        rate_covered=None if math.isnan(low) or math.isnan(high) else low <= true_rate <= high,
        per_class=tuple(_quality(*row) for row in counts.tolist()),
        curve=Curve(listed, caught / (whole.wrong or math.nan), caught / listed),
    )


def evaluation_json(evaluation: Evaluation, class_names: Sequence[str]) -> dict[str, Any]:
    """The evaluation as JSON values: NaN as None, the names of the classes, a thinned curve."""
    per_class = [
        {"class": name, **vars(one)}
        for name, one in zip(class_names, evaluation.per_class, strict=True)
    ]
    curve = {name: values.tolist() for name, values in vars(evaluation.curve.thinned()).items()}
    plain: dict[str, Any] = _without_nan(
        {**vars(evaluation), "per_class": per_class, "curve": curve}
    )
    return plain


def _quality(
    rows: int, wrong: int, flagged: int, found: int, answerable: int, answered: int
) -> ListQuality:
    return ListQuality(
        rows,
        wrong,
        flagged,
        found,
        precision=_share(found, flagged),
        recall=_share(found, wrong),
        f1=_share(2 * found, flagged + wrong),
        suggestions_right=_share(answered, answerable),
    )


def _share(part: int | float, whole: int) -> float:
    return part / whole if whole else math.nan


def _counts_by_threshold(
    threshold: Int[np.ndarray, "n"], wrong: Bool[np.ndarray, "n"]
) -> tuple[Int[np.ndarray, "k"], Int[np.ndarray, "k"]]:
    """How many rows, and how many wrong ones, each of the k thresholds lists, shortest list first.

    `threshold` is the number of the first one that lists a row. Tied rows have the same number.
    """
    listed = np.cumsum(np.bincount(threshold))
    return listed, np.cumsum(np.bincount(threshold[wrong], minlength=len(listed)))


def _ranking_quality(
    threshold: Int[np.ndarray, "n"], wrong: Bool[np.ndarray, "n"]
) -> tuple[float, float]:
    """AUROC and average precision; NaN where a single kind of row makes the measure undefined.

    scikit-learn refuses infinite suspicions. It is given the number of the threshold, which ranks
    alike.
    """
    from sklearn import metrics

    auroc = average_precision = math.nan
    if wrong.any():
        average_precision = float(metrics.average_precision_score(wrong, -threshold))
        if not wrong.all():
            auroc = float(metrics.roc_auc_score(wrong, -threshold))
    return auroc, average_precision


def _check_suspicion(suspicion: Float[np.ndarray, "n"]) -> None:
    if not len(suspicion):
        raise TableError(
            "there is no row to evaluate; none has both a score and a known true label"
        )
    without = np.flatnonzero(np.isnan(suspicion))
    if len(without):
        raise TableError(
            f"{len(without):,} of {len(suspicion):,} rows have no suspicion (NaN), "
            f"the first at position {without[0]}; leave out the rows without a score"
        )


def _check_labels(what: str, label: Int[np.ndarray, "n"], least: int, classes: int) -> None:
    outside = label[(label < least) | (label >= classes)]
    if len(outside):
        raise DataError(f"{what} {outside[0]} is out of range; expected {least} to {classes - 1}")


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
