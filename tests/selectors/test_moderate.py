import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prune_kit import pipeline
from prune_kit.errors import TableError
from prune_kit.results.selection import DROPPED_EASY, DROPPED_HARD, KEPT
from prune_kit.selectors.moderate import middle_band
from tests.small_tables import table_of

SCORES = st.lists(st.integers(-12, 12), min_size=1, max_size=40).map(
    lambda numbers: [n / 4 for n in numbers]
)


def select(table, **options):
    return pipeline.select(table, rule="moderate", **options)


@given(values=SCORES, share=st.floats(0, 1))
def test_the_band_is_a_run_of_the_ranking_that_holds_the_nearest_values(values, share):
    ascending = np.sort(values)
    count = max(round(share * len(values)), 1)
    start, stop = middle_band(ascending, count)
    assert 0 <= start < stop <= len(values)
    assert stop - start == count
    distances = [abs(value - statistics.median(values)) for value in ascending]
    assert sorted(distances[start:stop]) == sorted(distances)[:count]


@given(values=SCORES, keep=st.floats(0.1, 1), seed=st.integers(0, 100))
def test_each_class_keeps_those_nearest_to_its_own_median(values, keep, seed):
    label = np.random.default_rng(seed).integers(0, 2, len(values))
    table = table_of(values, name="class_distance@20", label=label, class_names=("a", "b"))
    counts = [round(keep * int((label == number).sum())) for number in (0, 1)]
    if any(count == 0 and (label == number).any() for number, count in enumerate(counts)):
        return
    selection = select(table, keep=keep)
    for number, count in enumerate(counts):
        own = np.flatnonzero(label == number)
        kept = [row for row in own if selection.reason[row] == KEPT]
        assert len(kept) == count
        median = statistics.median([values[row] for row in own]) if len(own) else 0
        distance = {row: abs(values[row] - median) for row in own}
        assert sorted(distance[row] for row in kept) == sorted(distance.values())[:count]
        for row in own:
            if selection.reason[row] == DROPPED_EASY:
                assert all(values[row] <= values[other] for other in kept)
            if selection.reason[row] == DROPPED_HARD:
                assert all(values[row] >= values[other] for other in kept)


def test_kept_are_the_ids_in_the_middle_and_not_those_at_the_ends():
    selection = select(table_of([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]), keep=0.4)
    assert selection.index.tolist() == [3, 4, 5, 6]
    assert np.flatnonzero(selection.reason == DROPPED_EASY).tolist() == [0, 1, 2]
    assert np.flatnonzero(selection.reason == DROPPED_HARD).tolist() == [7, 8, 9]


def test_nearest_is_by_value_and_not_by_rank():
    selection = select(table_of([0, 1, 9.0, 9.5, 10, 20, 30]), keep=3 / 7)
    assert selection.index.tolist() == [2, 3, 4]
    assert select(table_of([0, 1, 2, 9.5, 10, 10.5, 11]), keep=4 / 7).index.tolist() == [3, 4, 5, 6]


def test_the_classes_share_alike_unless_told_otherwise():
    values, label = [*range(10), *range(100, 110)], [0] * 10 + [1] * 10
    assert select(table_of(values, label=label), keep=0.2).class_shares().tolist() == [0.2, 0.2]
    over_all = select(table_of([*range(10), *range(10)], label=label), keep=0.2, per_class=False)
    assert len(over_all.index) == 4
    assert select(table_of(values, label=label), keep=0.2).parameters == {
        "keep": 0.2,
        "per_class": True,
    }


def test_ties_follow_the_content_and_never_the_order_of_the_rows():
    digest = np.random.default_rng(3).permutation(9)
    selection = select(table_of([0] * 9, digest=digest), keep=1 / 3)
    assert sorted(digest[selection.index]) == [3, 4, 5]


@given(values=SCORES, seed=st.integers(0, 1000), keep=st.floats(0.2, 1))
def test_the_choice_does_not_depend_on_the_order_of_the_rows(values, seed, keep):
    if round(keep * len(values)) == 0:
        return
    table = table_of(values)
    order = np.random.default_rng(seed).permutation(len(values))
    moved = table_of(np.array(values)[order], digest=table.rows.digest[order])
    np.testing.assert_array_equal(
        select(moved, keep=keep).reason, select(table, keep=keep).reason[order]
    )


def test_a_column_in_which_lower_is_harder_swaps_the_reasons():
    selection = select(table_of([1, 2, 3, 4, 5], harder="lower"), keep=0.2)
    assert selection.reason.tolist() == [
        DROPPED_HARD,
        DROPPED_HARD,
        KEPT,
        DROPPED_EASY,
        DROPPED_EASY,
    ]


def test_the_percentiles_of_bands_that_differ_are_said_to_be_averages():
    even = np.arange(40.0)
    skewed = np.concatenate([np.zeros(19), np.linspace(5, 6, 21)])
    text = select(table_of([*even, *skewed], label=[0] * 40 + [1] * 40), keep=0.5).describe()
    assert "within each class, on average; dropped" in text
    same = select(table_of([*even, *even], label=[0] * 40 + [1] * 40), keep=0.5).describe()
    assert "kept percentiles 25.0 to 75.0 of el2n@20 within each class; dropped" in same


def test_infinite_scores_have_no_distance_to_a_median_and_are_refused():
    with pytest.raises(
        TableError, match="el2n@20 is infinite for 1 of 3 training rows, the first is row 1"
    ):
        select(table_of([0, float("inf"), 1]), keep=0.5)
