import random
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prune_kit import pipeline
from prune_kit.errors import OptionError, TableError
from prune_kit.results.selection import DROPPED_HARD, DROPPED_OTHER, KEPT
from prune_kit.selectors.coverage import equal_bins, even_budgets
from tests.small_tables import column_of, table_of

SCORES = st.lists(st.integers(-20, 20), min_size=1, max_size=60).map(
    lambda numbers: [n / 4 for n in numbers]
)


def select(table, **options):
    return pipeline.select(table, rule="coverage", **options)


def with_suspicion(table, suspicion, harder="lower"):
    return table.with_columns([column_of(suspicion, name="aum@20", harder=harder)])


def budgets_by_the_paper(counts, total):
    """Algorithm 1 word for word: while there are bins, take the smallest one, with its share of
    what is left."""
    bins, taken = dict(enumerate(counts)), {}
    while bins:
        smallest = min(bins, key=bins.get)
        taken[smallest] = min(bins[smallest], total // len(bins))
        total -= taken[smallest]
        del bins[smallest]
    return [taken[number] for number in range(len(counts))]


def bin_of(value, low, high, bins):
    """Walk through the bins until the value lies below an upper end."""
    for number in range(bins - 1):
        if value < low + (number + 1) * (high - low) / bins:
            return number
    return bins - 1 if high > low else 0


@given(counts=st.lists(st.integers(0, 30), min_size=1, max_size=60), share=st.floats(0, 1))
def test_budgets_are_those_of_the_paper_and_make_the_whole(counts, share):
    total = round(share * sum(counts))
    found = even_budgets(np.array(counts), total)
    assert found.tolist() == budgets_by_the_paper(counts, total)
    assert found.sum() == total
    assert (found <= counts).all()


@given(counts=st.lists(st.integers(0, 30), min_size=1, max_size=60), share=st.floats(0, 1))
def test_no_bin_gives_more_than_another_that_could_give_as_much(counts, share):
    found = even_budgets(np.array(counts), round(share * sum(counts)))
    partly = [taken for taken, there in zip(found, counts, strict=True) if taken < there]
    if partly:
        assert max(found) <= min(partly) + 1


def test_a_tiny_example_by_hand():
    """Bins of 1, 2 and 7 rows, 6 to keep: 1 (6 / 3 is 2), then 2 (5 / 2), then 3."""
    values = [0.0, 4.5, 5.0, 9.0, 9.2, 9.3, 9.4, 9.5, 9.6, 12.0]
    kept = select(table_of(values), keep=0.6, bins=3).index
    assert set(kept[:3]) == {0, 1, 2}
    assert len(kept) == 6


@given(values=SCORES, bins=st.integers(1, 9))
def test_bins_have_equal_width_over_the_range(values, bins):
    scores = np.array(values)
    expected = [bin_of(value, scores.min(), scores.max(), bins) for value in values]
    found = equal_bins(scores, bins)
    edges = scores.min() + np.arange(1, bins) * np.ptp(scores) / bins
    clear = [
        np.abs(edges - value).min(initial=1) > 1e-9 for value in values
    ]  # on an edge rounding may decide
    assert found[clear].tolist() == np.array(expected)[clear].tolist()
    assert set(found) <= set(range(bins))


@given(
    values=SCORES,
    keep=st.floats(0.05, 1),
    room=st.floats(0, 1),
    bins=st.integers(1, 60),
    seed=st.integers(0, 9),
)
def test_the_draws_fit_the_suspects_and_the_budgets(values, keep, room, bins, seed):
    n = len(values)
    suspicion = random.Random(seed).sample(range(n), n)
    table = with_suspicion(table_of(values), suspicion)
    kept = round(keep * n)
    if kept == 0:
        return
    beta = room * (1 - keep)
    options = {"drop_hardest": beta, "suspect_by": "aum@20"} if beta else {}
    selection = select(table, by="el2n@20", keep=keep, bins=bins, seed=seed, **options)
    assert len(selection.index) == kept
    dropped = min(round(beta * n), n - kept)
    assert set(np.flatnonzero(selection.reason == DROPPED_HARD)) == {
        row for row in range(n) if suspicion[row] < dropped
    }
    rest = np.flatnonzero(selection.reason != DROPPED_HARD)
    assert set(selection.reason[rest]) <= {KEPT, DROPPED_OTHER}
    where = dict(zip(rest, equal_bins(np.array(values)[rest], bins), strict=True))
    there, drawn = Counter(where.values()), Counter(where[row] for row in selection.index)
    budgets = budgets_by_the_paper([there[number] for number in range(bins)], kept)
    assert [drawn[number] for number in range(bins)] == budgets


@given(values=SCORES, seed=st.integers(0, 1000), keep=st.floats(0.1, 1), per_class=st.booleans())
def test_the_choice_does_not_depend_on_the_order_of_the_rows(values, seed, keep, per_class):
    table = table_of(values, label=[0] * len(values))
    if round(keep * len(values)) == 0:
        return
    order = np.random.default_rng(seed).permutation(len(values))
    moved = table_of(
        np.array(values)[order], label=[0] * len(values), digest=table.rows.digest[order]
    )
    options = {"keep": keep, "drop_hardest": (1 - keep) / 2, "seed": seed, "per_class": per_class}
    np.testing.assert_array_equal(
        select(moved, **options).reason, select(table, **options).reason[order]
    )


def test_the_seed_decides_what_is_drawn():
    table = table_of(np.linspace(0, 1, 200))
    first = select(table, keep=0.3, seed=1).index.tolist()
    assert select(table, keep=0.3, seed=1).index.tolist() == first
    assert select(table, keep=0.3, seed=2).index.tolist() != first
    assert select(table, keep=0.3).index.tolist() == select(table, keep=0.3, seed=0).index.tolist()


def test_of_one_bin_every_row_is_drawn_about_equally_often():
    table = table_of([0.5] * 20)
    drawn = np.concatenate([select(table, keep=0.25, seed=seed).index for seed in range(400)])
    assert np.all(np.abs(np.bincount(drawn, minlength=20) - 100) < 5 * np.sqrt(400 * 0.25 * 0.75))


@pytest.mark.parametrize(
    "label", [[0] * 90 + [1] * 10, [0] * 10 + [1] * 90, [2] * 20 + [0] * 70 + [1] * 10]
)
def test_each_class_keeps_its_own_share_and_not_that_of_the_last_class(label):
    label = np.array(label)
    table = table_of(np.random.default_rng(0).random(100), label=label, class_names=("a", "b", "c"))
    selection = select(table, keep=0.4, drop_hardest=0.1, per_class=True)
    for number in range(3):
        own = label == number
        assert (selection.reason[own] == KEPT).sum() == round(0.4 * own.sum())
        assert (selection.reason[own] == DROPPED_HARD).sum() == round(0.1 * own.sum())


def test_suspects_are_the_hardest_of_the_other_column_whichever_way_it_points():
    table = table_of(range(10))
    lower, higher = (
        with_suspicion(table, range(10)),
        with_suspicion(table, range(10), harder="higher"),
    )
    options = {"by": "el2n@20", "keep": 0.5, "drop_hardest": 0.2, "suspect_by": "aum@20"}
    assert np.flatnonzero(select(lower, **options).reason == DROPPED_HARD).tolist() == [0, 1]
    assert np.flatnonzero(select(higher, **options).reason == DROPPED_HARD).tolist() == [8, 9]
    own = select(table, keep=0.5, drop_hardest=0.2)
    assert np.flatnonzero(own.reason == DROPPED_HARD).tolist() == [8, 9]


def test_a_column_in_which_lower_is_harder_gives_the_same_bins():
    values = np.random.default_rng(1).random(50)
    up = select(table_of(values), keep=0.3, drop_hardest=0.1)
    down = select(table_of(-values, harder="lower"), keep=0.3, drop_hardest=0.1)
    np.testing.assert_array_equal(up.reason, down.reason)


def test_everything_that_suspects_leave_may_be_kept():
    assert select(table_of(range(10)), keep=0.9, drop_hardest=0.1).index.tolist() == list(range(9))
    assert len(select(table_of(range(10)), keep=1.0).index) == 10


def test_a_window_is_spoken_of_only_where_it_is_one():
    table = with_suspicion(table_of(range(10)), np.random.default_rng(0).permutation(10))
    other = select(table, by="el2n@20", keep=0.9, drop_hardest=0.1, suspect_by="aum@20")
    assert other.describe() == "kept 9 of 10 training rows (90.0%) by rule coverage"


# refusals


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"bins": 0}, "bins=0 is out of range; at least 1"),
        ({"drop_hardest": -0.1}, "drop_hardest=-0.1 is out of range; it is a share, 0 to 1"),
        ({"drop_hardest": float("nan")}, "drop_hardest=nan is out of range"),
        (
            {"drop_hardest": 0.6},
            "keep=0.5 and drop_hardest=0.6 make more than 1; the largest is drop_hardest=0.5",
        ),
        (
            {"suspect_by": "el2n@20"},
            "suspect_by='el2n@20' does not drop anything by itself; say how much: drop_hardest=0.1",
        ),
        (
            {"offset": 0.1},
            "rule='coverage' takes no `offset`; it takes `drop_hardest`, `suspect_by`, `bins`",
        ),
    ],
)
def test_options_out_of_range_are_refused(options, told):
    with pytest.raises(OptionError) as caught:
        select(table_of(range(10)), keep=0.5, **options)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_column_of_suspicion_that_is_not_there_or_has_gaps_is_refused():
    table = table_of(range(10))
    with pytest.raises(TableError, match="unknown column 'aum@20'"):
        select(table, by="el2n@20", keep=0.5, drop_hardest=0.1, suspect_by="aum@20")
    gaps = with_suspicion(table, [float("nan"), *range(9)])
    with pytest.raises(TableError, match=r"aum@20 has no score \(NaN\) for 1 of 10 training rows"):
        select(gaps, by="el2n@20", keep=0.5, drop_hardest=0.1, suspect_by="aum@20")


def test_infinite_scores_have_no_bins_of_equal_width_and_are_refused():
    table = table_of([0, 1, float("inf"), float("-inf")])
    with pytest.raises(
        TableError, match="el2n@20 is infinite for 2 of 4 training rows, the first is row 2"
    ):
        select(table, keep=0.5)
    held_out = replace(table, rows=replace(table.rows, role=np.array([0, 0, 1, 1], np.uint8)))
    assert len(select(held_out, keep=0.5).index) == 1
