"""Rank agreement against scipy and plain counting; runs that are enough, where it is known."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from prune_kit.comparison.agreement import SortedScore, agreements, end_count, kendall, spearman
from prune_kit.comparison.stability import FEW_GROUPS, group_sizes, stability
from prune_kit.errors import OptionError
from prune_kit.selectors import ranking
from tests.small_tables import table_of

SEEDS = st.integers(0, 2**32 - 1)
TIED = arrays(np.float64, st.integers(3, 40), elements=st.integers(0, 6).map(float))


def scattered(n, seed=0):
    """Digests that follow no order, some of them alike."""
    return np.random.default_rng(seed).integers(0, max(n - 2, 1), n).astype(np.uint64)


def noisy_pair(n, noise=1.0, seed=0, levels=None):
    """Two scores that share a part; with `levels`, rounded so that there are ties."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(2, n)) * noise + rng.normal(size=n)
    return (np.round(x * levels), np.round(y * levels)) if levels else (x, y)


def noisy_runs(runs, n, single, seed=0):
    """Normal runs whose agreement, one with another, is `single`."""
    rng = np.random.default_rng(seed)
    return math.sqrt(single) * rng.normal(size=n) + math.sqrt(1 - single) * rng.normal(
        size=(runs, n)
    )


def resample(n, seed):
    rows = np.random.default_rng(seed).integers(n, size=n)
    return rows, np.bincount(rows, minlength=n).astype(float)


# one pair


@pytest.mark.parametrize("levels", [None, 1, 4])
def test_spearman_and_kendall_are_those_of_scipy_with_ties_and_without(levels):
    x, y = noisy_pair(200, levels=levels)
    assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
    assert kendall(x, y).value == pytest.approx(stats.kendalltau(x, y).statistic, abs=1e-12)


def test_a_constant_score_agrees_with_nothing_and_says_nan():
    x, flat = np.arange(30.0), np.ones(30)
    assert math.isnan(spearman(x, flat))
    assert math.isnan(kendall(x, flat).value)
    [found] = agreements(np.stack([x, flat]), scattered(30), [(0, 1)])
    assert math.isnan(found.spearman.value)
    assert math.isnan(found.spearman.low)


@pytest.mark.parametrize("n", [2, 3])
def test_very_few_examples_are_no_trouble(n):
    x = np.arange(float(n))
    same, opposite = agreements(np.stack([x, x, -x]), scattered(n), [(0, 1), (0, 2)], top=0.5)
    assert (same.kendall.value, opposite.kendall.value) == (pytest.approx(1), pytest.approx(-1))


@given(TIED, SEEDS)
def test_ranks_counted_in_a_resample_are_those_of_ranking_the_resample(values, seed):
    rows, copies = resample(len(values), seed)
    ranks = SortedScore.of(values, scattered(len(values))).ranks(copies)
    np.testing.assert_allclose(ranks[rows], stats.rankdata(values[rows]))


@given(TIED, SEEDS, st.data())
def test_the_ends_of_a_resample_are_those_of_sorting_its_copies(values, seed, data):
    n = len(values)
    count = data.draw(st.integers(1, n // 2))
    digest = scattered(n)
    rows, copies = resample(n, seed)
    listed = sorted(rows, key=lambda row: (values[row], digest[row], row))
    expected = [np.bincount(part, minlength=n) for part in (listed[n - count :], listed[:count])]
    np.testing.assert_array_equal(SortedScore.of(values, digest).ends(copies, count), expected)


def test_the_ends_are_those_that_a_selection_would_cut_off():
    values = np.random.default_rng(0).integers(0, 4, 50).astype(float)
    table = table_of(values)
    hardest, easiest = SortedScore.of(values, table.rows.digest).ends(np.ones(50), 7)
    order = ranking(table, None)
    assert set(np.flatnonzero(hardest)) == set(order[-7:])
    assert set(np.flatnonzero(easiest)) == set(order[:7])


def test_the_overlap_is_the_share_of_a_set_that_is_in_the_other():
    x, y = noisy_pair(300)
    [found] = agreements(np.stack([x, y]), scattered(300), [(0, 1)], top=0.2)
    hard, easy = (
        len(set(np.argsort(s * x)[:60]) & set(np.argsort(s * y)[:60])) / 60 for s in (-1, 1)
    )
    assert (found.hardest.value, found.easiest.value) == (hard, easy)


@given(TIED)
def test_a_score_agrees_wholly_with_itself_and_its_opposite_wholly_disagrees(values):
    count = len(values)
    [same, opposite] = agreements(
        np.stack([values, values, -values]),
        scattered(count),
        [(0, 1), (0, 2)],
        top=0.4,
        bootstrap=20,
    )
    assert same.hardest.value == same.easiest.value == same.hardest.low == 1
    if len(set(values)) > 1:
        assert same.spearman.value == pytest.approx(1)
        assert same.kendall.value == pytest.approx(1)
        assert opposite.spearman.value == pytest.approx(-1)


def test_the_share_that_ties_decide_is_counted():
    column = SortedScore.of(np.array([0, 0, 0, 0, 0, 0, 1, 2, 2, 3.0]), scattered(10))
    assert column.drawn_by_ties(2) == (0.5, 1.0)  # 3 is hardest, one of two 2s; any two of six 0s
    assert column.drawn_by_ties(3) == (0.0, 1.0)


@pytest.mark.parametrize("top", [0.0, -0.1, 0.6, math.nan])
def test_a_share_out_of_range_is_refused(top):
    with pytest.raises(OptionError, match=r"top=.* is out of range"):
        end_count(top, 100)


def test_a_share_of_no_example_is_refused_with_the_least_that_there_is():
    with pytest.raises(
        OptionError, match=r"top=0.001 of 100 examples is none; the least is top=0.01"
    ):
        end_count(0.001, 100)


# intervals


def test_intervals_hold_the_number_and_narrow_with_more_examples():
    widths = []
    for n in (100, 1600):
        [found] = agreements(np.stack(noisy_pair(n)), scattered(n), [(0, 1)])
        for estimate in (found.spearman, found.kendall, found.hardest, found.easiest):
            assert estimate.low <= estimate.value <= estimate.high
        widths.append([e.high - e.low for e in (found.spearman, found.kendall, found.hardest)])
    assert all(
        wide > 2.5 * narrow for wide, narrow in zip(*widths, strict=True)
    )  # by 4, up to chance


@pytest.mark.parametrize("levels", [None, 1])
@pytest.mark.parametrize("n", [150, 3000])
def test_the_asymptotic_interval_of_kendall_is_as_wide_as_the_bootstrap_of_whole_resamples(
    n, levels
):
    x, y = noisy_pair(n, levels=levels)
    found = kendall(x, y)
    draws = [
        stats.kendalltau(x[rows], y[rows]).statistic
        for rows, _ in (resample(n, seed) for seed in range(300))
    ]
    low, high = np.quantile(draws, (0.025, 0.975))
    assert found.high - found.low == pytest.approx(high - low, rel=0.2)


def test_the_interval_of_spearman_covers_the_truth_as_often_as_it_says():
    truth = spearman(*noisy_pair(400_000, seed=1))
    hits = 0
    for seed in range(40):
        scores = np.stack(noisy_pair(120, seed=seed + 2))
        [found] = agreements(scores, scattered(120), [(0, 1)], bootstrap=100, seed=seed)
        hits += found.spearman.low <= truth <= found.spearman.high
    assert 34 <= hits <= 40


def test_the_same_seed_gives_the_same_interval_and_no_resamples_none():
    scores = np.stack(noisy_pair(80))
    one, again, other = (
        agreements(scores, scattered(80), [(0, 1)], seed=seed)[0] for seed in (3, 3, 4)
    )
    assert one == again != other
    [bare] = agreements(scores, scattered(80), [(0, 1)], bootstrap=0)
    assert bare.spearman.value == one.spearman.value
    assert all(math.isnan(e.low) for e in (bare.spearman, bare.kendall, bare.hardest, bare.easiest))


# runs


def test_all_runs_agree_wholly_with_their_own_mean():
    found = stability("el2n@20", noisy_runs(5, 200, 0.5))
    assert found.sizes == (1, 2, 3, 4, 5)
    assert found.with_all[-1] == pytest.approx(1)
    assert list(found.with_all) == sorted(found.with_all)


def test_agreement_of_means_is_the_average_over_all_pairs_of_groups_without_a_common_run():
    runs = noisy_runs(4, 100, 0.5)
    found = stability("el2n@20", runs)
    pairs = [((0, 1), (2, 3)), ((0, 2), (1, 3)), ((0, 3), (1, 2))]
    expected = [
        stats.spearmanr(*(runs[list(group)].mean(axis=0) for group in pair)).statistic
        for pair in pairs
    ]
    assert found.independent[1] == pytest.approx(np.mean(expected))
    singles = [stats.spearmanr(runs[i], runs[j]).statistic for i in range(4) for j in range(i)]
    assert found.independent[0] == pytest.approx(np.mean(singles))
    assert all(math.isnan(rho) for rho in found.independent[2:])


def spearman_of_means(single, k):
    """Spearman of two means of k normal runs, from Pearson's by Spearman-Brown."""
    return 6 / math.pi * math.asin(k * single / (1 + (k - 1) * single) / 2)


@pytest.mark.parametrize("single", [0.9, 0.85, 0.6, 0.3])
def test_means_agree_as_runs_of_known_reliability_must_and_so_many_are_enough(single):
    found = stability("el2n@20", noisy_runs(10, 20_000, single))
    assert found.independent[:5] == pytest.approx(
        [spearman_of_means(single, k) for k in range(1, 6)], abs=0.01
    )
    needed = next(k for k in range(1, 1000) if spearman_of_means(single, k) >= found.bar)
    assert found.enough == (needed if needed <= 5 else None)
    assert found.predicted == pytest.approx(needed, rel=0.1)


def test_the_sentence_says_how_many_runs_are_enough_or_how_many_it_would_take():
    runs = noisy_runs(10, 5000, 0.8)
    assert (
        "5 runs are enough: two independent means of 5 runs agree with"
        in stability("s", runs, bar=0.94).sentence()
    )
    assert "about 9 of the 10 runs are enough" in stability("s", runs, bar=0.97).sentence()
    few = stability("s", runs[:3]).sentence()
    assert "s: 3 runs are too few: two independent means of 1 run agree with Spearman 0.7" in few
    assert "1 run is enough" in stability("s", runs, bar=0.5).sentence()


def test_one_run_and_runs_without_a_common_order_and_constant_runs_say_so():
    runs = noisy_runs(2, 400, 0.5)
    assert "one run cannot tell" in stability("s", runs[:1]).sentence()
    opposite = stability("s", np.stack([runs[0], -runs[0]]))
    assert "share no order" in opposite.sentence()
    assert opposite.predicted is None
    flat = stability("s", np.stack([runs[0], np.zeros(400)]))
    assert "cannot be compared" in flat.sentence()


def test_with_many_runs_the_sizes_are_spread_and_the_splits_seeded():
    assert group_sizes(4) == (1, 2, 3, 4)
    assert {1, 25, 50} <= set(group_sizes(50))
    assert len(group_sizes(50)) < 13
    assert math.comb(12, 3) > FEW_GROUPS
    runs = noisy_runs(12, 60, 0.5)
    one, again, other = (stability("s", runs, seed=seed) for seed in (0, 0, 1))
    assert one.with_all == again.with_all != other.with_all


@pytest.mark.parametrize("bar", [0.0, 1.0, -0.5, math.nan])
def test_a_bar_out_of_range_is_refused(bar):
    with pytest.raises(OptionError, match=r"enough=.* is out of range"):
        stability("s", noisy_runs(2, 10, 0.5), bar=bar)
