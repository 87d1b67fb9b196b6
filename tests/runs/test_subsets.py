"""Who is held out: how often, how many, and that more folds change nothing about the first ones."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prune_kit.errors import OptionError
from prune_kit.runs.subsets import check_ratios, held_out_sets

SAMPLINGS = ("balanced", "uniform")
ROWS = np.arange(100, 160)


@given(
    st.integers(1, 99),
    st.integers(1, 25),
    st.sampled_from(SAMPLINGS),
    st.integers(0, 3),
    st.integers(2, 60),
)
def test_every_set_has_the_size_that_the_ratio_leaves_and_holds_no_row_twice(
    ratio, folds, sampling, seed, count
):
    rows = np.arange(1000, 1000 + 3 * count, 3)
    for held_out in held_out_sets(rows, ratio, folds, seed=seed, sampling=sampling):
        assert len(held_out) == count - round(count * ratio / 100)
        assert np.isin(held_out, rows).all()
        assert (np.diff(held_out) > 0).all()


@given(st.integers(1, 99), st.integers(1, 25), st.integers(0, 3), st.integers(2, 60))
def test_balanced_sets_hold_every_row_out_equally_often_up_to_one_vote(ratio, folds, seed, count):
    sets = held_out_sets(np.arange(count), ratio, folds, seed=seed, sampling="balanced")
    votes = np.bincount(np.concatenate(sets), minlength=count)
    assert votes.max() - votes.min() <= 1


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_the_first_folds_stay_when_more_are_asked_for(sampling):
    few = held_out_sets(ROWS, 30, 3, seed=1, sampling=sampling)
    many = held_out_sets(ROWS, 30, 9, seed=1, sampling=sampling)
    for one, other in zip(few, many, strict=False):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_ratios_and_seeds_draw_their_own_sets(sampling):
    one = held_out_sets(ROWS, 50, 2, seed=0, sampling=sampling)
    assert not np.array_equal(one[0], one[1])
    assert not np.array_equal(one[0], held_out_sets(ROWS, 50, 1, seed=1, sampling=sampling)[0])
    assert not np.array_equal(one[0][:15], held_out_sets(ROWS, 75, 1, seed=0, sampling=sampling)[0])


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_every_row_is_drawn_as_often_as_any_other_at_any_fold(sampling):
    counts = np.zeros((3, 10))
    for seed in range(2000):
        for fold, held_out in enumerate(
            held_out_sets(np.arange(10), 30, 3, seed=seed, sampling=sampling)
        ):
            counts[fold, held_out] += 1
    assert (
        np.abs(counts / 2000 - 0.7).max() < 0.05
    )  # five standard errors of a share of 0.7 over 2000


@pytest.mark.parametrize(
    ("ratio", "count", "reason"),
    [(99, 40, "leaves no row to hold out"), (1, 40, "leaves no row to train on")],
)
def test_a_ratio_that_leaves_no_row_is_refused(ratio: int, count: int, reason: str) -> None:
    with pytest.raises(OptionError, match=f"ratios={ratio}: {ratio} % of 40 .*{reason}"):
        check_ratios([50, ratio], count)
    check_ratios([50], count)
