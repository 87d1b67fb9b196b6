"""Label issues against cleanlab's answers and a plain sort, in any order, in little memory."""

import tracemalloc
import warnings

import numpy as np
import pytest
from cleanlab import count, filter, rank
from hypothesis import given
from hypothesis import strategies as st

import prune_kit
from prune_kit.cleaning import confident_joint as joints
from prune_kit.cleaning.issue_filters import FILTERS, PRUNING, prune_counts
from prune_kit.cleaning.label_issues import find_label_issues
from prune_kit.cleaning.label_quality import RANKINGS, label_quality
from prune_kit.errors import DataError, OptionError
from tests.cleaning.test_confident_joint import CLASSES, DTYPES, SEEDS, noisy

GOOD = np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]])


def cleanlab_issues(label, probabilities, **options):
    with warnings.catch_warnings():
        # said of classes with too few rows for `min_examples_per_class`, and of an option that the
        # filter ignores
        warnings.simplefilter("ignore", UserWarning)
        return filter.find_label_issues(label, probabilities, n_jobs=1, **options)


# cleanlab


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("imbalance", [1.0, 1.7])
@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize("filter_by", FILTERS)
def test_masks_and_rankings_of_every_filter_are_those_of_cleanlab(
    filter_by, classes, imbalance, dtype
):
    for seed in SEEDS:
        label, probabilities = noisy(seed, classes, imbalance=imbalance, dtype=dtype)
        options = {"filter_by": filter_by}
        expected = cleanlab_issues(label, probabilities, **options)
        assert 10 < expected.sum() < 390
        np.testing.assert_array_equal(find_label_issues(label, probabilities, **options), expected)
        for ranking in RANKINGS:
            found = find_label_issues(
                label, probabilities, return_indices_ranked_by=ranking, **options
            )
            expected = cleanlab_issues(
                label, probabilities, return_indices_ranked_by=ranking, **options
            )
            if dtype is np.float64:
                np.testing.assert_array_equal(found, expected)
            else:  # cleanlab's scores are rounded to float32, and then equal here and there
                assert set(found) == set(expected)
                quality = rank.get_label_quality_scores(label, probabilities, method=ranking)
                np.testing.assert_allclose(quality[found], quality[expected], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize("filter_by", PRUNING)
def test_less_noise_and_more_examples_per_class_prune_as_cleanlab_does(filter_by, classes):
    for seed in range(12):
        label, probabilities = noisy(seed, classes, rows=150, imbalance=1.4)
        rng = np.random.default_rng(seed)
        options = {"filter_by": filter_by}
        options |= {
            "min_examples_per_class": int(rng.integers(0, 60)),
            "frac_noise": float(rng.random()),
        }
        expected = cleanlab_issues(label, probabilities, **options)
        np.testing.assert_array_equal(find_label_issues(label, probabilities, **options), expected)


@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize("filter_by", PRUNING)
def test_numbers_to_remove_per_class_are_removed_as_cleanlab_does(filter_by, classes):
    for seed in SEEDS:
        label, probabilities = noisy(seed, classes, imbalance=1.3)
        numbers = np.random.default_rng(seed).integers(0, np.bincount(label) // 3 + 1).tolist()
        for remove in (numbers, numbers[0], [1000] * classes):
            options = {"filter_by": filter_by, "num_to_remove_per_class": remove}
            expected = cleanlab_issues(label, probabilities, **options)
            found = find_label_issues(label, probabilities, **options)
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("filter_by", FILTERS)
@pytest.mark.parametrize("ranking", RANKINGS[:2])
def test_adjusted_probabilities_rank_as_those_of_cleanlab_do(filter_by, ranking):
    for seed in SEEDS:
        label, probabilities = noisy(seed, 4, imbalance=2)
        options = {"filter_by": filter_by, "return_indices_ranked_by": ranking}
        plain = find_label_issues(label, probabilities, **options)
        options["rank_by_kwargs"] = {"adjust_pred_probs": True}
        expected = cleanlab_issues(label, probabilities, **options)
        found = find_label_issues(label, probabilities, **options)
        np.testing.assert_array_equal(found, expected)
        assert set(found) == set(plain) and (found != plain).any()


@pytest.mark.parametrize("filter_by", sorted(set(FILTERS) - {"both"}))
def test_of_many_equal_rows_as_many_are_found_as_by_cleanlab_whichever_they_are(filter_by):
    for seed in SEEDS:
        classes = (
            2 if filter_by == "prune_by_noise_rate" else 4
        )  # of more pairs, equal rows may be found in several
        rng = np.random.default_rng(seed)
        kinds = noisy(seed, classes, rows=12 * classes)
        kind = np.concatenate((np.arange(classes), rng.integers(0, 12 * classes, 600)))
        label, probabilities = kinds[0][kind], kinds[1][kind]
        options = {"filter_by": filter_by}
        expected = cleanlab_issues(label, probabilities, **options)
        found = find_label_issues(label, probabilities, **options)
        np.testing.assert_array_equal(np.bincount(kind[found]), np.bincount(kind[expected]))


@pytest.mark.parametrize("steps", [4, 10])
@pytest.mark.parametrize("filter_by", ["confident_learning", "predicted_neq_given"])
def test_a_label_that_shares_the_largest_probability_is_no_issue(filter_by, steps):
    for seed in SEEDS:
        label, probabilities = noisy(seed, 3, steps=steps)
        expected = cleanlab_issues(label, probabilities, filter_by=filter_by)
        np.testing.assert_array_equal(
            find_label_issues(label, probabilities, filter_by=filter_by), expected
        )


@pytest.mark.parametrize("ranking", RANKINGS)
def test_scores_are_those_of_cleanlab_where_probabilities_are_nought_or_next_to_it(ranking):
    tiny = np.array(
        [
            [1, 0, 0],
            [0, 1, 0],
            [0, 0.5, 0.5],
            [1e-9, 1 - 1e-9, 0],
            [1e-5, 1 - 1e-5, 0],
            [1 - 1e-9, 1e-9, 0],
        ]
    )
    label = np.zeros(6, dtype=int)
    found = label_quality(label, tiny, ranking)
    expected = rank.get_label_quality_scores(label, tiny, method=ranking)
    np.testing.assert_allclose(
        (found + 1) / 2 if ranking == "normalized_margin" else found, expected, atol=1e-12
    )


@pytest.mark.parametrize("classes", CLASSES)
def test_low_scores_are_as_many_as_cleanlab_counts_issues(classes):
    label, probabilities = noisy(1, classes)
    for filter_by in ("confident_learning", "low_self_confidence", "low_normalized_margin"):
        found = find_label_issues(label, probabilities, filter_by=filter_by).sum()
        assert found == count.num_label_issues(label, probabilities)


# plain oracles and laws


@pytest.mark.parametrize("steps", [None, 10])
@pytest.mark.parametrize("values", [64, 2**17])
def test_pruning_by_noise_rate_is_a_sort_of_every_pair_of_classes_with_ties_by_row(
    monkeypatch, values, steps
):
    monkeypatch.setattr(joints, "BLOCK_VALUES", values)
    monkeypatch.setattr("prune_kit.cleaning.issue_filters.BLOCK_VALUES", values)
    for seed in SEEDS:
        label, probabilities = noisy(seed, 4, steps=steps)
        counts = joints.confident_joint(label, probabilities)
        expected = np.zeros(len(label), dtype=bool)
        for i in range(4):
            rows = np.flatnonzero(label == i)
            for j in set(range(4)) - {i}:
                margins = probabilities[rows, j] - probabilities[rows, i]
                expected[rows[np.argsort(-margins, kind="stable")][: counts[i, j]]] = True
        expected &= probabilities.max(axis=1) > probabilities[np.arange(len(label)), label]
        np.testing.assert_array_equal(find_label_issues(label, probabilities), expected)


def test_both_are_those_in_both_and_the_public_name_is_the_function():
    label, probabilities = noisy(0, 5, steps=10)
    masks = [find_label_issues(label, probabilities, filter_by=name) for name in PRUNING]
    np.testing.assert_array_equal(masks[2], masks[0] & masks[1])
    assert prune_kit.find_label_issues is find_label_issues


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(FILTERS),
    st.sampled_from(RANKINGS),
    st.sampled_from([None, 5]),
)
def test_the_mask_and_the_indices_agree_and_the_most_suspect_come_first(
    seed, filter_by, ranking, steps
):
    label, probabilities = noisy(seed, 3, rows=50, steps=steps)
    mask = find_label_issues(label, probabilities, filter_by=filter_by)
    ranked = find_label_issues(
        label, probabilities, filter_by=filter_by, return_indices_ranked_by=ranking
    )
    np.testing.assert_array_equal(np.sort(ranked), np.flatnonzero(mask))
    assert (np.diff(label_quality(label, probabilities, ranking)[ranked]) >= 0).all()


@given(st.integers(0, 2**32 - 1), st.sampled_from(FILTERS))
def test_permuting_the_rows_permutes_the_answer(seed, filter_by):
    label, probabilities = noisy(seed, 3, rows=50)
    order = np.random.default_rng(seed).permutation(len(label))
    mask = find_label_issues(label, probabilities, filter_by=filter_by)
    np.testing.assert_array_equal(
        find_label_issues(label[order], probabilities[order], filter_by=filter_by), mask[order]
    )


@given(st.integers(0, 2**32 - 1), st.floats(0, 1), st.integers(0, 40))
def test_never_more_is_pruned_of_a_pair_than_was_counted_nor_fewer_kept_than_asked(
    seed, frac_noise, least
):
    counts = np.random.default_rng(seed).integers(0, 30, (4, 4))
    numbers = prune_counts(counts, min_examples_per_class=least, frac_noise=frac_noise)
    apart = ~np.eye(4, dtype=bool)
    assert (0 <= numbers[apart]).all()
    assert (numbers[apart] <= counts[apart]).all()
    assert (numbers.diagonal() >= np.maximum(counts.diagonal(), least)).all()
    np.testing.assert_array_equal(prune_counts(counts, min_examples_per_class=0), counts)


# memory


@pytest.fixture(scope="module")
def mapped(tmp_path_factory):
    """400,000 x 50 float32, 80 MB, on disk."""
    path = tmp_path_factory.mktemp("mapped") / "probabilities.npy"
    whole = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(400_000, 50))
    label = np.empty(400_000, dtype=np.int64)
    part = noisy(0, 50, rows=10_000, noise=0.1, sharpness=3, dtype=np.float32)
    for start in range(0, 400_000, 10_000):
        label[start : start + 10_000] = part[0]
        whole[start : start + 10_000] = part[1]
    whole.flush()
    return label, np.load(path, mmap_mode="r")


@pytest.mark.parametrize("filter_by", FILTERS)
def test_a_memory_map_is_never_in_memory_as_a_whole(mapped, filter_by):
    label, probabilities = mapped
    assert probabilities.nbytes == 80_000_000
    tracemalloc.start()
    try:
        found = find_label_issues(
            label, probabilities, filter_by=filter_by, return_indices_ranked_by=RANKINGS[2]
        )
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(found) > 10_000
    assert peak < 35_000_000  # O(N): a few numbers per row, of 8 bytes each; the rest is a block


# refusals


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"filter_by": "prune_by_clas"},
            "unknown filter_by 'prune_by_clas'. Did you mean 'prune_by_class'",
        ),
        (
            {"return_indices_ranked_by": "margin"},
            "unknown return_indices_ranked_by 'margin'.* There are: self_conf",
        ),
        ({"frac_noise": 1.5}, "frac_noise=1.5 is out of range; it is a share, 0 to 1"),
        ({"frac_noise": np.nan}, "frac_noise=nan is out of range"),
        ({"min_examples_per_class": -1}, "min_examples_per_class=-1 is out of range; at least 0"),
        (
            {"filter_by": "confident_learning", "num_to_remove_per_class": [1, 0]},
            "`num_to_remove_per_class` is not supported with filter_by='confident_learning'; it is "
            "with prune_by_noise_rate, prune_by_class, both",
        ),
        (
            {"num_to_remove_per_class": [1, 0, 0]},
            r"num_to_remove_per_class is int64 of shape \(3,\); expected 2 whole numbers, one per "
            "class",
        ),
        ({"num_to_remove_per_class": [1, 0.5]}, "num_to_remove_per_class is float64 of shape"),
        (
            {"num_to_remove_per_class": [0, -3]},
            r"num_to_remove_per_class\[1\]=-3 is out of range; at least 0",
        ),
        (
            {"confident_joint": np.eye(3)},
            r"confident_joint is float64 of shape \(3, 3\); expected numbers of shape \(2, 2\), a "
            "row per given",
        ),
        (
            {"confident_joint": np.array([[1, -1], [0, 1]])},
            "confident_joint holds numbers below 0, NaN or infinity",
        ),
        (
            {"rank_by_kwargs": {"adjust": True}},
            "unknown key of `rank_by_kwargs` 'adjust'.* There are: adjust_pred_probs",
        ),
        (
            {
                "return_indices_ranked_by": "confidence_weighted_entropy",
                "rank_by_kwargs": {"adjust_pred_probs": True},
            },
            "return_indices_ranked_by='confidence_weighted_entropy' does not go with",
        ),
    ],
)
def test_an_option_that_is_wrong_or_not_supported_is_refused_in_one_line(options, message):
    with pytest.raises(OptionError, match=message) as caught:
        find_label_issues([0, 1, 1], GOOD, **options)
    assert "\n" not in str(caught.value)


def test_numbers_that_a_filter_does_not_support_are_a_value_error_as_in_cleanlab():
    with pytest.raises(ValueError, match="not supported"):
        find_label_issues(
            [0, 1, 1], GOOD, filter_by="predicted_neq_given", num_to_remove_per_class=[1, 1]
        )


@pytest.mark.parametrize("filter_by", sorted(set(FILTERS) - set(PRUNING)))
def test_options_that_a_filter_does_not_use_are_ignored(filter_by):
    label, probabilities = noisy(0, 3)
    expected = find_label_issues(label, probabilities, filter_by=filter_by)
    found = find_label_issues(
        label,
        probabilities,
        filter_by=filter_by,
        frac_noise=0.5,
        min_examples_per_class=100,
        confident_joint=np.eye(3),
        rank_by_kwargs={},
        n_jobs=2,
        verbose=True,
    )
    np.testing.assert_array_equal(found, expected)


def test_data_that_are_wrong_are_refused_and_lists_pass():
    with pytest.raises(DataError, match="labels has 2 entries, pred_probs 3 rows"):
        find_label_issues([0, 1], GOOD)
    with pytest.raises(DataError, match=r"pred_probs is float64 of shape \(3,\)"):
        find_label_issues([0, 1, 1], GOOD[:, 0])
    found = find_label_issues([1, 0, 1], GOOD.tolist(), filter_by="predicted_neq_given")
    assert found.tolist() == [True, True, False]


def test_a_class_without_a_label_has_no_issue_and_leaves_the_others_theirs():
    label, probabilities = noisy(3, 4)
    for filter_by in FILTERS:
        expected = find_label_issues(label, probabilities, filter_by=filter_by)
        wider = np.insert(probabilities, 2, 0, axis=1)
        found = find_label_issues(label + (label >= 2), wider, filter_by=filter_by)
        np.testing.assert_array_equal(found, expected)
