"""How an ensemble of networks learns: what its consistency columns say about each epoch, and about another ensemble.

Paper: Hacohen and Weinshall 2019, "All Neural Networks are Created Equal",
https://arxiv.org/abs/1905.10854, sections 3 and 4. Consistency is the share of the networks that
are right about an example, so its mean is their mean accuracy.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from prune_kit.comparison.agreement import spearman
from prune_kit.data.identity import check_same
from prune_kit.errors import TableError
from prune_kit.results.table import ScoreColumn, ScoreTable

TOLERANCE = 0.01


@dataclass(frozen=True)
class Spread:
    """How the consistency of some examples is distributed.

    `accuracy` is its mean; `all_or_none` the share of the examples about which all networks are
    right, or none is; `bimodality` as the function of that name.
    """

    accuracy: float
    all_or_none: float
    bimodality: float


@dataclass(frozen=True)
class EpochDynamics:
    """An epoch of an ensemble, on the training rows and, where they were scored, on the test examples."""

    epoch: int
    train: Spread
    test: Spread | None


@dataclass(frozen=True)
class Correlation:
    """How the scores of two ensembles go together over the examples; NaN where one is the same for all."""

    pearson: float
    spearman: float


@dataclass(frozen=True)
class Match:
    """An epoch of one ensemble and an epoch of another at which their mean training accuracies agree."""

    epoch: int
    other_epoch: int
    accuracy: float
    other_accuracy: float
    train: Correlation
    test: Correlation | None


def bimodality(values: Float[np.ndarray, "N"]) -> float:
    """Pearson's measure of how far a distribution falls into two: smaller is more bimodal.

        b = kurtosis - skewness^2 - 1        0 or more; kurtosis not in excess, 3 for a normal distribution

    0 where there are just two values, 0.8 for a uniform distribution, 2 for a normal one, NaN where
    all are equal.
    """
    if np.ptp(values) == 0:
        return float("nan")
    deviation = (values - values.mean()) / values.std()
    return max(float((deviation**4).mean() - (deviation**3).mean() ** 2 - 1), 0.0)


def dynamics(table: ScoreTable) -> list[EpochDynamics]:
    """What the consistency columns of a table say about each of their epochs, ascending. Raises TableError."""
    found = []
    for epoch, column in consistency_columns(table).items():
        test = column.test.get("scores")
        spread = _spread(_training(table, column))
        found.append(
            EpochDynamics(epoch, spread, None if test is None else _spread(test.astype(np.float64)))
        )
    return found


def matched_epochs(
    table: ScoreTable, other: ScoreTable, *, tolerance: float = TOLERANCE
) -> list[Match]:
    """For each epoch of one ensemble the epoch of another with the nearest accuracy, if that is within `tolerance`.

    Accuracy is the networks' mean on the training rows, and `tolerance` a difference of two shares
    (section 4.1: 1%). At a matched pair the two ensembles know about as much, so that a correlation
    of their consistency says whether they know the same. Raises TableError; IdentityError when the
    tables are of other data.
    """
    _check(table, other)
    columns, others = consistency_columns(table), consistency_columns(other)
    accuracies = {epoch: _training(other, column).mean() for epoch, column in others.items()}
    found = []
    for epoch, column in columns.items():
        accuracy = _training(table, column).mean()
        nearest = min(accuracies, key=lambda candidate: abs(accuracies[candidate] - accuracy))
        if abs(accuracies[nearest] - accuracy) > tolerance:
            continue
        train, test = _correlations(table, other, [column], [others[nearest]])
        found.append(
            Match(epoch, nearest, float(accuracy), float(accuracies[nearest]), train, test)
        )
    return found


def order_correlation(
    table: ScoreTable, other: ScoreTable
) -> tuple[Correlation, Correlation | None]:
    """How alike the order is in which two ensembles learn, on the training rows and on the test examples.

    An example's place in that order is its consistency, averaged over all epochs that a table has
    (section 4.1). Raises TableError; IdentityError when the tables are of other data.
    """
    _check(table, other)
    columns, others = (list(consistency_columns(one).values()) for one in (table, other))
    return _correlations(table, other, columns, others)


def consistency_columns(table: ScoreTable) -> dict[int, ScoreColumn]:
    """The consistency columns by epoch, ascending. Raises TableError when there is none."""
    found = {
        int(name.partition("@")[2]): c
        for name, c in table.columns.items()
        if c.method == "consistency"
    }
    if not found:
        raise TableError(
            f"the table has no consistency column; it has: {', '.join(table.columns)}. "
            "Run: prune-kit score --method consistency --epoch 1,2,3,5,10,20"
        )
    return dict(sorted(found.items()))


def correlation(x: Float[np.ndarray, "N"], y: Float[np.ndarray, "N"]) -> Correlation:
    """Pearson's and Spearman's correlation of two scores; NaN where one of them is constant."""
    if not len(x) or np.ptp(x) == 0 or np.ptp(y) == 0:
        return Correlation(float("nan"), float("nan"))
    return Correlation(float(np.corrcoef(x, y)[0, 1]), spearman(x, y))


def _check(table: ScoreTable, other: ScoreTable) -> None:
    check_same(other.rows, table.rows, "the second score table", "the first")


def _training(table: ScoreTable, column: ScoreColumn) -> Float[np.ndarray, "n"]:
    values: np.ndarray = column.values[table.rows.training].astype(np.float64)
    return values


def _spread(consistency: Float[np.ndarray, "N"]) -> Spread:
    settled = (consistency == 0) | (consistency == 1)
    return Spread(float(consistency.mean()), float(settled.mean()), bimodality(consistency))


def _correlations(
    table: ScoreTable, other: ScoreTable, columns: list[ScoreColumn], others: list[ScoreColumn]
) -> tuple[Correlation, Correlation | None]:
    """The correlation of the two means over columns, on the training rows and, where all score those, on the test."""
    train = correlation(
        _mean([_training(table, column) for column in columns]),
        _mean([_training(other, column) for column in others]),
    )
    if not all("scores" in column.test for column in (*columns, *others)):
        return train, None
    x, y = (_mean([column.test["scores"] for column in side]) for side in (columns, others))
    return train, correlation(x, y)


def _mean(scores: list[np.ndarray]) -> Float[np.ndarray, "N"]:
    mean: np.ndarray = np.stack(scores).astype(np.float64).mean(axis=0)
    return mean
