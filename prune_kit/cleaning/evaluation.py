"""How good a list of rows with suspected wrong labels is, where the true labels are known.

A label is wrong where it is not the true one. Precision and recall judge the list; AUROC, average
precision and the precision at the true count judge the ranking, whatever was listed. What cannot be
told is NaN, never 0 or 1.
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
    """How good the list is among `rows` rows, of which `wrong` have a wrong label.

    `flagged` of them are on the list, and `found` of these are wrong. `precision` is found /
    flagged, `recall` found / wrong, `f1` 2 found / (flagged + wrong), each in [0, 1], or NaN where
    the divisor is 0. `suggestions_right` is the share of the found rows for which the true label is
    suggested; a row without a suggestion counts as not right; NaN where nothing is found, or where
    no row at all has a suggestion.
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
    """The list that every cut of the ranking would give, shortest first.

    Equally suspect rows are never parted.

    `listed` (k,) is how many rows it holds, `recall` and `precision` (k,) lie in [0, 1]; recall is
    NaN where no label is wrong.
    """

    listed: Int[np.ndarray, "k"]
    recall: Float[np.ndarray, "k"]
    precision: Float[np.ndarray, "k"]

    def thinned(self) -> "Curve":
        """The first cut that reaches each 200th of the wrong labels, and the last cut."""
        reached = np.searchsorted(self.recall, np.linspace(0, 1, WRITTEN_STEPS + 1))
        at = np.unique(np.append(reached, len(self.recall) - 1))
        return Curve(self.listed[at], self.recall[at], self.precision[at])


@dataclass(frozen=True, eq=False)
class Evaluation:
    """How good the list and the ranking of n `rows` are.

    The fields from `rows` to `suggestions_right`: ListQuality.

    `auroc` is the probability that a wrong label is more suspect than a right one, NaN with one
    kind only; `average_precision` the mean precision over the wrong labels, NaN with nothing wrong;
    both treat ties as scikit-learn does. `precision_at_wrong` is the precision among the `wrong`
    most suspect rows; of tied rows at its border a part is taken at random, and the number is the
    expected one. `true_rate`, `estimated_rate` and the ends `rate_low` and `rate_high` of its
    interval are shares of the rows, `rate_error` is estimated minus true; `rate_covered` says
    whether the interval holds the truth, None without an interval. `per_class` has an entry for
    every class, by given label.
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
    """Judge a list and a ranking of suspect labels by the true labels.

    `flagged` is the list; `suspicion` ranks, higher is more suspect; `label` are the given labels.

    Labels lie in 0 .. classes - 1; `suggested` is -1 where nothing is suggested. `noise_rate` is
    the estimated share of wrong labels and the ends of its interval, NaN where unknown. Raises
    TableError where there is no row, or a row without a suspicion; DataError for a label out of
    range.
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
    cut = np.unique(-suspicion, return_inverse=True)[1]
    listed, caught = _cuts(cut, wrong)
    auroc, average_precision = _ranking_quality(cut, wrong)
    # between two cuts the expected number of wrong labels grows by the same amount with every tied
    # row
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


def evaluation_json(found: Evaluation, class_names: Sequence[str]) -> dict[str, Any]:
    """The evaluation as JSON values: NaN as None, classes with their names, a thinned curve."""
    per_class = [
        {"class": name, **vars(one)} for name, one in zip(class_names, found.per_class, strict=True)
    ]
    curve = {name: values.tolist() for name, values in vars(found.curve.thinned()).items()}
    plain: dict[str, Any] = _without_nan({**vars(found), "per_class": per_class, "curve": curve})
    return plain


def _quality(
    rows: int, wrong: int, flagged: int, found: int, answerable: int, answered: int
) -> ListQuality:
    precision, recall, f1 = (
        _share(found, flagged),
        _share(found, wrong),
        _share(2 * found, flagged + wrong),
    )
    return ListQuality(
        rows, wrong, flagged, found, precision, recall, f1, _share(answered, answerable)
    )


def _share(part: int | float, whole: int) -> float:
    return part / whole if whole else math.nan


def _cuts(
    cut: Int[np.ndarray, "n"], wrong: Bool[np.ndarray, "n"]
) -> tuple[Int[np.ndarray, "k"], Int[np.ndarray, "k"]]:
    """How many rows, and how many wrong ones, each of the k cuts lists, shortest list first.

    `cut` is the number of the first cut that lists a row, so that tied rows have the same.
    """
    listed = np.cumsum(np.bincount(cut))
    return listed, np.cumsum(np.bincount(cut[wrong], minlength=len(listed)))


def _ranking_quality(
    cut: Int[np.ndarray, "n"], wrong: Bool[np.ndarray, "n"]
) -> tuple[float, float]:
    """AUROC and average precision; NaN where only one kind of row makes the measure undefined.

    scikit-learn refuses infinite suspicions. It is given the number of the cut, which ranks alike.
    """
    from sklearn import metrics

    auroc = average_precision = math.nan
    if wrong.any():
        average_precision = float(metrics.average_precision_score(wrong, -cut))
        if not wrong.all():
            auroc = float(metrics.roc_auc_score(wrong, -cut))
    return auroc, average_precision


def _check_suspicion(suspicion: Float[np.ndarray, "n"]) -> None:
    if not len(suspicion):
        raise TableError("there is no row to judge; none has both a score and a known true label")
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
