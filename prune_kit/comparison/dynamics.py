"""How an ensemble of networks learns, epoch by epoch, and whether another ensemble learns the same.

Paper: Hacohen and Weinshall 2019, "All Neural Networks are Created Equal",
https://arxiv.org/abs/1905.10854, sections 3 and 4. Consistency is the share of the networks that
are right about an example. Its mean is the mean accuracy of the networks.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from prune_kit.comparison.agreement import spearman
from prune_kit.data.identity import check_same
from prune_kit.errors import TableError
from prune_kit.results.column import ScoreColumn
from prune_kit.results.table import ScoreTable

TOLERANCE = 0.01


@dataclass(frozen=True)
class Spread:
    """How the consistency of some examples is distributed.

    Attributes
    ----------
    accuracy : float
        The mean, in [0, 1].
    all_or_none : float
        The share of the examples about which all networks are right, or none is, in [0, 1].
    bimodality : float
        As the function `bimodality` gives it.
    """

    accuracy: float
    all_or_none: float
    bimodality: float


@dataclass(frozen=True)
class EpochDynamics:
    """An epoch of an ensemble: on the training rows and, where scored, on the test examples."""

    epoch: int
    train: Spread
    test: Spread | None


@dataclass(frozen=True)
class Correlation:
    """The correlations of two scores over the examples; NaN where one score is constant."""

    pearson: float
    spearman: float


@dataclass(frozen=True)
class Match:
    """Two epochs, one of each ensemble, at which the mean training accuracies agree."""

    epoch: int
    other_epoch: int
    accuracy: float
    other_accuracy: float
    train: Correlation
    test: Correlation | None


def bimodality(values: Float[np.ndarray, "N"]) -> float:
    """Pearson's measure of bimodality. A smaller value is more bimodal.

        b = kurtosis - skewness^2 - 1

    The kurtosis is not in excess: it is 3 for a normal distribution.

    Parameters
    ----------
    values : (N,) float
        The values whose distribution is measured.

    Returns
    -------
    float
        At least 0: 0 for two values, 0.8 for a uniform distribution, 2 for a normal one. NaN where
        all values are equal.
    """
    if np.ptp(values) == 0:
        return float("nan")
    deviation = (values - values.mean()) / values.std()
    return max(float((deviation**4).mean() - (deviation**3).mean() ** 2 - 1), 0.0)


def dynamics(table: ScoreTable) -> list[EpochDynamics]:
    """Describe each epoch that has a consistency column.

    Parameters
    ----------
    table : ScoreTable
        With consistency columns.

    Returns
    -------
    list of EpochDynamics
        By epoch, ascending.

    Raises
    ------
    TableError
        The table has no consistency column.
    """
    epochs = []
    for epoch, column in consistency_columns(table).items():
        test = column.test.get("scores")
        spread = _spread(_training(table, column))
        test_spread = None if test is None else _spread(test.astype(np.float64))
        epochs.append(EpochDynamics(epoch, spread, test_spread))
    return epochs


def matched_epochs(
    table: ScoreTable, other: ScoreTable, *, tolerance: float = TOLERANCE
) -> list[Match]:
    """Match each epoch of one ensemble with the epoch of the other that has the nearest accuracy.

    At matched epochs the two ensembles know about as much. The correlation of their consistency
    then says whether they know the same.

    Parameters
    ----------
    table, other : ScoreTable
        Two ensembles on the same data, with consistency columns.
    tolerance : float
        The largest difference of two mean training accuracies, as shares (section 4.1: 1 %). An
        epoch without a match is left out.

    Returns
    -------
    list of Match
        By the epoch of `table`, ascending.

    Raises
    ------
    TableError
        A table has no consistency column.
    IdentityError
        The tables are of other data.
    """
    _check(table, other)
    columns = consistency_columns(table)
    others = consistency_columns(other)
    accuracies = {epoch: _training(other, column).mean() for epoch, column in others.items()}
    matches = []
    for epoch, column in columns.items():
        accuracy = _training(table, column).mean()
        nearest = min(accuracies, key=lambda candidate: abs(accuracies[candidate] - accuracy))
        if abs(accuracies[nearest] - accuracy) > tolerance:
            continue
        train, test = _correlations(table, other, [column], [others[nearest]])
        matches.append(
            Match(epoch, nearest, float(accuracy), float(accuracies[nearest]), train, test)
        )
    return matches


def order_correlation(
    table: ScoreTable, other: ScoreTable
) -> tuple[Correlation, Correlation | None]:
    """Correlate the orders in which two ensembles learn the examples.

    The place of an example in that order is its consistency, averaged over all epochs of a table
    (section 4.1).

    Parameters
    ----------
    table, other : ScoreTable
        Two ensembles on the same data, with consistency columns.

    Returns
    -------
    (Correlation, Correlation or None)
        On the training rows and, where all columns score them, on the test examples.

    Raises
    ------
    TableError
        A table has no consistency column.
    IdentityError
        The tables are of other data.
    """
    _check(table, other)
    columns, others = (list(consistency_columns(one).values()) for one in (table, other))
    return _correlations(table, other, columns, others)


def consistency_columns(table: ScoreTable) -> dict[int, ScoreColumn]:
    """The consistency columns by epoch, ascending. Raises TableError where there is none."""
    columns = {
        int(name.partition("@")[2]): column
        for name, column in table.columns.items()
        if column.method == "consistency"
    }
    if not columns:
        raise TableError(
            f"the table has no consistency column; it has: {', '.join(table.columns)}. "
            "Run: `score(data, methods='consistency', epoch=[1, 2, 3, 5, 10, 20])`"
        )
    return dict(sorted(columns.items()))


def correlation(x: Float[np.ndarray, "N"], y: Float[np.ndarray, "N"]) -> Correlation:
    """Pearson's and Spearman's correlation of two scores (N,); NaN where one is constant."""
    if not len(x) or np.ptp(x) == 0 or np.ptp(y) == 0:
        return Correlation(float("nan"), float("nan"))
    return Correlation(float(np.corrcoef(x, y)[0, 1]), spearman(x, y))


def _check(table: ScoreTable, other: ScoreTable) -> None:
    check_same(other.rows, table.rows, "the second score table", "the first")


def _training(table: ScoreTable, column: ScoreColumn) -> Float[np.ndarray, "n"]:
    values: np.ndarray = column.values[table.rows.training].astype(np.float64)
    return values


def _spread(consistency: Float[np.ndarray, "N"]) -> Spread:
    all_or_none = (consistency == 0) | (consistency == 1)
    return Spread(float(consistency.mean()), float(all_or_none.mean()), bimodality(consistency))


def _correlations(
    table: ScoreTable, other: ScoreTable, columns: list[ScoreColumn], others: list[ScoreColumn]
) -> tuple[Correlation, Correlation | None]:
    """Correlate the two means over columns, on the training rows and on the test examples."""
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
