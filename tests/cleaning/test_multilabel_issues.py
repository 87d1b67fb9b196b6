"""Rows with any number of classes: one class against the rest, in plain words and by cleanlab."""

import warnings

import numpy as np
import pytest
from cleanlab import filter
from cleanlab.multilabel_classification import rank
from hypothesis import given
from hypothesis import strategies as st

from prune_kit.cleaning.given_probabilities import checked_multilabel
from prune_kit.cleaning.issue_filters import FILTERS, PRUNING
from prune_kit.cleaning.label_issues import find_label_issues
from prune_kit.cleaning.label_quality import RANKINGS
from prune_kit.cleaning.multilabel_issues import find_multilabel_issues, multilabel_quality
from prune_kit.errors import DataError, OptionError
from tests.cleaning.golden_issues import MULTILABEL_GOLDENS, golden_multilabel_input

LOW = ("low_self_confidence", "low_normalized_margin")


def several(seed, *, rows=60, classes=4):
    """Lists of classes, the last class in none, and how likely each class applies."""
    rng = np.random.default_rng(seed)
    probabilities = rng.beta(0.6, 0.6, (rows, classes))
    applies = (rng.random((rows, classes)) < probabilities) ^ (rng.random((rows, classes)) < 0.1)
    applies[:, -1] = False
    return [np.flatnonzero(row).tolist() for row in applies], probabilities


def against_the_rest(labels, probabilities, c):
    label = np.array([int(c in row) for row in labels])
    return label, np.stack([1 - probabilities[:, c], probabilities[:, c]], axis=1)


@pytest.mark.parametrize("seed", range(len(MULTILABEL_GOLDENS)))
def test_answers_are_the_golden_ones_of_cleanlab(seed):
    data, options = golden_multilabel_input(seed)
    found = np.flatnonzero(find_multilabel_issues(*data, **options))
    assert format(sum(1 << int(row) for row in found), "x") == MULTILABEL_GOLDENS[seed]


@pytest.mark.parametrize("filter_by", sorted(set(FILTERS) - set(LOW)))
def test_a_row_is_an_issue_where_one_of_its_classes_is_one_against_the_rest(filter_by):
    for seed in range(8):
        labels, probabilities = several(seed)
        options = {"filter_by": filter_by}
        if filter_by in PRUNING:
            options |= {"frac_noise": 0.7, "min_examples_per_class": seed % 3}
        expected = np.zeros(len(labels), dtype=bool)
        for c in range(4):
            expected |= find_label_issues(*against_the_rest(labels, probabilities, c), **options)
        assert 0 < expected.sum() < len(labels)
        found = find_multilabel_issues(labels, probabilities, **options)
        np.testing.assert_array_equal(found, expected)


def slow_quality(scores):
    """Each next lower score outweighs the ones before it four to one."""
    first, *others = sorted(scores, reverse=True)
    for score in others:
        first = 0.8 * score + 0.2 * first
    return first


@pytest.mark.parametrize(
    ("ranking", "adjusted"),
    [*((ranking, False) for ranking in RANKINGS), *((ranking, True) for ranking in RANKINGS[:2])],
)
def test_the_quality_of_a_row_is_that_of_cleanlab_and_of_a_plain_loop(ranking, adjusted):
    labels, probabilities = several(1)
    members, _ = checked_multilabel(labels, probabilities)
    found = multilabel_quality(members, probabilities, ranking, adjusted=adjusted)
    expected = rank.get_label_quality_scores(
        labels, probabilities, method=ranking, adjust_pred_probs=adjusted
    )
    margin = ranking == "normalized_margin"
    np.testing.assert_allclose((found + 1) / 2 if margin else found, expected, atol=1e-12)
    if ranking == "self_confidence" and not adjusted:
        own = [
            [p if c in row else 1 - p for c, p in enumerate(each)]
            for row, each in zip(labels, probabilities, strict=True)
        ]
        np.testing.assert_allclose(found, [slow_quality(scores) for scores in own])


@pytest.mark.parametrize("filter_by", FILTERS)
@pytest.mark.parametrize("ranking", RANKINGS)
def test_rankings_are_those_of_cleanlab_but_after_the_low_filters_whose_order_is_mended(
    filter_by, ranking
):
    for seed in range(4):
        labels, probabilities = several(seed)
        labels[0] = [3]  # cleanlab refuses predicted_neq_given where a class is in no row
        options = {"filter_by": filter_by, "return_indices_ranked_by": ranking}
        found = find_multilabel_issues(labels, probabilities, **options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = filter.find_label_issues(
                labels, probabilities, n_jobs=1, multi_label=True, **options
            )
        if filter_by in LOW:
            assert set(found) == set(expected)
            members, _ = checked_multilabel(labels, probabilities)
            quality = multilabel_quality(members, probabilities, ranking)
            assert (np.diff(quality[found]) >= 0).all()
        else:
            np.testing.assert_array_equal(found, expected)


@given(st.integers(0, 2**32 - 1), st.sampled_from(FILTERS), st.sampled_from(RANKINGS))
def test_the_mask_and_the_indices_agree_in_any_order_of_the_classes(seed, filter_by, ranking):
    labels, probabilities = several(seed, rows=25, classes=3)
    mask = find_multilabel_issues(labels, probabilities, filter_by=filter_by)
    order = np.random.default_rng(seed).permutation(3)
    renamed = [[int(np.flatnonzero(order == c)[0]) for c in row] for row in labels]
    ranked = find_multilabel_issues(
        renamed, probabilities[:, order], filter_by=filter_by, return_indices_ranked_by=ranking
    )
    np.testing.assert_array_equal(np.sort(ranked), np.flatnonzero(mask))


@pytest.mark.parametrize("filter_by", PRUNING)
def test_as_many_are_removed_of_each_class_as_are_asked_for_of_all_alike(filter_by):
    labels, probabilities = several(2)
    options = {"filter_by": filter_by}
    found = find_multilabel_issues(labels, probabilities, num_to_remove_per_class=3, **options)
    each = find_multilabel_issues(labels, probabilities, num_to_remove_per_class=[3] * 4, **options)
    np.testing.assert_array_equal(found, each)
    assert found.any() == (filter_by != "both")


def test_a_joint_of_classes_against_each_other_is_ignored_and_one_of_each_is_used():
    labels, probabilities = several(2)
    plain = find_multilabel_issues(labels, probabilities)
    ignored = find_multilabel_issues(labels, probabilities, confident_joint=np.eye(4))
    np.testing.assert_array_equal(ignored, plain)
    none = np.tile(np.diag([30, 30]), (4, 1, 1))
    assert not find_multilabel_issues(labels, probabilities, confident_joint=none).any()


def test_the_argument_multi_label_is_deprecated_and_does_the_same():
    labels, probabilities = several(0)
    with pytest.warns(DeprecationWarning, match="find_multilabel_issues"):
        found = find_label_issues(labels, probabilities, multi_label=True, filter_by="both")
    expected = find_multilabel_issues(labels, probabilities, filter_by="both")
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"filter_by": "low"}, OptionError, "unknown filter_by 'low'"),
        (
            {"confident_joint": np.ones((2, 2, 3))},
            OptionError,
            r"expected numbers of shape \(2, 2, 2\), given by true for each class",
        ),
        ({"num_to_remove_per_class": [1]}, None, ""),
        ({"num_to_remove_per_class": [1, 2, 3]}, OptionError, "expected 2 whole numbers"),
        ({"labels": [0, 1]}, DataError, "does not hold a list for each row"),
    ],
)
def test_what_is_wrong_is_refused_in_one_line(options, error, message):
    given_options = {"labels": [[0], [0, 1]], "pred_probs": np.full((2, 2), 0.4)} | options
    if error is None:
        find_multilabel_issues(**given_options)
        return
    with pytest.raises(error, match=message) as caught:
        find_multilabel_issues(**given_options)
    assert "\n" not in str(caught.value)
