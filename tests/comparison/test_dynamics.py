from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from prune_kit.comparison.dynamics import (
    bimodality,
    correlation,
    dynamics,
    matched_epochs,
    order_correlation,
)
from prune_kit.errors import IdentityError, TableError
from prune_kit.results.table import ScoreTable
from tests.small_tables import column_of, rows_of

N, M = 40, 12


def ensemble(
    consistency: dict[int, np.ndarray], test: dict[int, np.ndarray] | None = None
) -> ScoreTable:
    """A table with these consistency columns, by epoch; the last training row is held out."""
    role = np.r_[np.zeros(N, np.uint8), np.uint8(1)]
    columns = {}
    for epoch, values in consistency.items():
        name = f"consistency@{epoch}"
        scores = {"scores": test[epoch].astype(np.float32)} if test else {}
        columns[name] = column_of(np.r_[values, np.nan], name=name, harder="lower", test=scores)
    return ScoreTable(rows_of(np.arange(N + 1) % 4, role=role), columns)


def shares(seed: int, level: float, count: int = N) -> np.ndarray:
    return np.random.default_rng(seed).binomial(8, level, count) / 8


finite = st.floats(-100, 100, allow_nan=False, width=32)


@given(arrays(np.float64, st.integers(2, 60), elements=finite))
def test_bimodality_is_what_scipys_moments_say(values: np.ndarray) -> None:
    assume(values.std() > 1e-3)
    expected = stats.kurtosis(values, fisher=False) - stats.skew(values) ** 2 - 1
    assert bimodality(values) == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_two_values_are_perfectly_bimodal_and_smooth_distributions_are_not() -> None:
    assert bimodality(np.repeat([0.0, 1.0], [30, 10])) == pytest.approx(0, abs=1e-12)
    assert bimodality(np.linspace(0, 1, 100_001)) == pytest.approx(0.8, abs=1e-3)
    assert bimodality(np.random.default_rng(0).normal(size=200_000)) == pytest.approx(2, abs=0.05)
    assert np.isnan(bimodality(np.full(7, 0.1)))


def test_each_epoch_is_described_on_train_and_test_in_the_order_of_the_epochs() -> None:
    values = {20: shares(0, 0.9), 3: np.repeat([0, 0.5, 1], [10, 10, 20])}
    found = dynamics(ensemble(values, {20: shares(1, 0.8, M), 3: np.repeat([0.25, 1], M // 2)}))
    assert [one.epoch for one in found] == [3, 20]
    assert (found[0].train.accuracy, found[0].train.all_or_none) == (0.625, 0.75)
    assert found[0].train.bimodality == bimodality(values[3])
    assert found[0].test is not None
    assert (found[0].test.accuracy, found[0].test.all_or_none) == (0.625, 0.5)
    assert found[0].test.bimodality == pytest.approx(0, abs=1e-9)
    assert [one.test for one in dynamics(ensemble(values))] == [None, None]


def test_an_epoch_is_matched_with_the_nearest_within_one_point() -> None:
    levels = {1: 0.3, 2: 0.5, 5: 0.7, 9: 0.9}
    others = {1: 0.48, 2: 0.506, 3: 0.515, 4: 0.695, 8: 0.95}
    a = ensemble(
        {epoch: np.repeat([level - 0.01, level + 0.01], N // 2) for epoch, level in levels.items()}
    )
    b = ensemble(
        {epoch: np.tile([level - 0.01, level + 0.01], N // 2) for epoch, level in others.items()}
    )
    found = matched_epochs(a, b)
    assert [(match.epoch, match.other_epoch) for match in found] == [(2, 2), (5, 4)]
    assert found[0].accuracy == pytest.approx(0.5)
    assert found[0].other_accuracy == pytest.approx(0.506)
    assert [(m.epoch, m.other_epoch) for m in matched_epochs(a, b, tolerance=0.06)] == [
        (2, 2),
        (5, 4),
        (9, 8),
    ]
    assert matched_epochs(a, b, tolerance=0.001) == []


def test_the_correlations_are_scipys() -> None:
    base = np.random.default_rng(3).uniform(size=(2, N))
    tests = np.random.default_rng(4).uniform(size=(2, M))
    base[1] = 0.7 * base[0] + 0.3 * base[1]
    base[1] += base[0].mean() - base[1].mean()
    a, b = (ensemble({2: values}, {2: test}) for values, test in zip(base, tests, strict=True))
    (match,) = matched_epochs(a, b)
    for found, (x, y) in ((match.train, base), (match.test, tests)):
        assert found is not None
        assert found.pearson == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-6)
        assert found.spearman == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-6)


def test_the_order_of_learning_is_compared_over_all_epochs_that_each_has() -> None:
    one = {epoch: shares(epoch, 0.2 * epoch) for epoch in (1, 2, 3)}
    other = {epoch: shares(10 + epoch, 0.1 * epoch) for epoch in (4, 8)}
    train, test = order_correlation(ensemble(one), ensemble(other))
    expected = stats.pearsonr(
        np.mean(list(one.values()), axis=0), np.mean(list(other.values()), axis=0)
    ).statistic
    assert train.pearson == pytest.approx(expected, abs=1e-6)
    assert test is None
    same = ensemble(one, {epoch: shares(epoch, 0.5, M) for epoch in one})
    for found in order_correlation(same, same):
        assert found is not None
        assert (found.pearson, found.spearman) == (pytest.approx(1), pytest.approx(1))


def test_a_constant_score_correlates_with_nothing_and_is_no_error() -> None:
    found = correlation(np.ones(5), np.arange(5.0))
    assert np.isnan([found.pearson, found.spearman]).all()


def test_tables_of_other_data_never_meet() -> None:
    a = ensemble({1: shares(0, 0.5)})
    b = replace(a, rows=replace(a.rows, label=(a.rows.label + 1) % 4))
    for compared in (matched_epochs, order_correlation):
        with pytest.raises(IdentityError, match="are relabelled"):
            compared(a, b)


def test_a_table_without_consistency_says_how_to_get_it() -> None:
    table = ScoreTable(rows_of(np.zeros(3, np.int64)), {"el2n@20": column_of([1, 2, 3])})
    with pytest.raises(
        TableError, match=r"it has: el2n@20\. Run: `score\(data, methods='consistency', epoch=\["
    ):
        dynamics(table)
