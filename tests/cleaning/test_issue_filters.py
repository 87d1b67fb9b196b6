"""The filters against plain loops and against cleanlab's golden answers, on classes of any size."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prune_kit.cleaning import confident_joint as joints
from prune_kit.cleaning.issue_filters import FILTERS, PRUNING, prune_counts, removal_counts
from prune_kit.cleaning.label_issues import find_label_issues
from tests.cleaning.golden_issues import GOLDENS, golden_input

SIZES = (0, 1, 1, 2, 3, 6, 15)


def uneven(seed):
    """Labels of 2 to 6 classes, of which some have one row or none, and probabilities."""
    rng = np.random.default_rng(seed)
    classes = int(rng.integers(2, 7))
    sizes = rng.choice(SIZES, classes)
    sizes[0] += 2
    label = rng.permutation(np.repeat(np.arange(classes), sizes))
    probabilities = rng.dirichlet(np.full(classes, 0.7), len(label))
    probabilities += rng.uniform(0, 1) * np.eye(classes)[label]
    return label, probabilities / probabilities.sum(axis=1, keepdims=True)


def some_options(seed, classes):
    rng = np.random.default_rng([seed, 1])
    options = {
        "frac_noise": float(rng.choice([1, rng.random()])),
        "min_examples_per_class": int(rng.choice([0, 0, 1, 2, 5])),
    }
    if rng.random() < 0.5:  # often with noughts on the diagonal
        options["confident_joint"] = rng.integers(0, 9, (classes, classes)) * rng.choice([1, 0.7])
    if rng.random() < 0.4:
        options["num_to_remove_per_class"] = rng.integers(0, 12, classes).tolist()
    return options


def slow_counts(counts, least, frac_noise):
    """How many of each pair to prune, number by number."""
    classes = len(counts)
    numbers = np.zeros((classes, classes), dtype=int)
    for i in range(classes):
        kept = max(counts[i][i], least)
        part = (kept - counts[i][i]) / max(sum(count > 0 for count in counts[i]) - 1, 1)
        wrong = {j: max(counts[i][j] - part, 0) for j in range(classes) if j != i}
        for j, number in wrong.items():
            numbers[i][j] = math.floor(round(number * frac_noise, 9))
        kept += sum(wrong.values()) - sum(number * frac_noise for number in wrong.values())
        numbers[i][i] = math.floor(round(kept, 9))
    return numbers


def slow_removal(numbers, remove):
    """How many of each pair to prune, where so many of each true class are asked for."""
    classes = len(numbers)
    found = np.zeros((classes, classes), dtype=int)
    for j in range(classes):
        others = [i for i in range(classes) if i != j]
        totals = [sum(numbers[k][i] for k in range(classes)) for i in others]
        if 0 in totals or not any(numbers[i][j] for i in others):
            continue
        weights = np.zeros((1, classes))
        weights[0, others] = [
            numbers[i][j] / total for i, total in zip(others, totals, strict=True)
        ]
        found[:, j] = joints.rounded(weights / weights.sum() * remove[j])[0]
    return found


def slow_issues(label, probabilities, filter_by, options):
    """The rows of a filter, row by row, in float64."""
    n, classes = probabilities.shape
    own = [probabilities[r][label[r]] for r in range(n)]
    runner_up = [max(np.delete(probabilities[r], label[r])) for r in range(n)]
    beaten = {r for r in range(n) if own[r] <= max(probabilities[r]) - 1e-6}
    members = [[r for r in range(n) if label[r] == i] for i in range(classes)]
    if filter_by == "predicted_neq_given":
        return beaten
    if filter_by not in PRUNING:
        bars = [sum(own[r] for r in rows) / len(rows) if rows else 2 for rows in members]
        found = set()
        for r in beaten:
            sure = [j for j in range(classes) if probabilities[r][j] >= bars[j] - 1e-6]
            counted = sure[:1] if len(sure) < 2 else [int(np.argmax(probabilities[r]))]
            found |= {r} if counted and counted[0] != label[r] else set()
        score = [
            p - (q if "margin" in filter_by else 0) for p, q in zip(own, runner_up, strict=True)
        ]
        lowest = set(sorted(range(n), key=lambda r: score[r])[: len(found)])
        return found if filter_by == "confident_learning" else lowest
    counts = options.get("confident_joint", joints.confident_joint(label, probabilities))
    least, remove = options["min_examples_per_class"], options.get("num_to_remove_per_class")
    numbers = slow_counts(counts, least, options["frac_noise"])
    pairs = numbers if remove is None else slow_removal(numbers, remove)
    by_class, by_noise_rate = set(), set()
    for i, rows in enumerate(members):
        if len(rows) <= max(least, 1):
            continue
        wanted = max(len(rows) - numbers[i][i], 0) if remove is None else remove[i]
        by_class |= set(sorted(rows, key=lambda r: own[r])[:wanted])
        for j in set(range(classes)) - {i}:
            margin = {r: probabilities[r][j] - own[r] for r in rows}
            by_noise_rate |= set(sorted(rows, key=lambda r: -margin[r])[: pairs[i][j]])
    chosen = {"prune_by_class": by_class, "prune_by_noise_rate": by_noise_rate}
    return beaten & chosen.get(filter_by, by_class & by_noise_rate)


@pytest.mark.parametrize("filter_by", FILTERS)
def test_every_filter_finds_what_plain_loops_find_in_classes_of_any_size(filter_by):
    seen = set()
    for seed in range(150):
        label, probabilities = uneven(seed)
        options = some_options(seed, probabilities.shape[1])
        if filter_by not in PRUNING:
            options.pop("num_to_remove_per_class", None)
        expected = slow_issues(label, probabilities, filter_by, options)
        found = find_label_issues(label, probabilities, filter_by=filter_by, **options)
        assert set(np.flatnonzero(found).tolist()) == expected
        seen |= {len(expected)}
    assert len(seen) > 5


@pytest.mark.parametrize("seed", range(len(GOLDENS)))
def test_answers_are_the_golden_ones_of_cleanlab(seed):
    data, options = golden_input(seed)
    found = np.flatnonzero(find_label_issues(*data, **options))
    assert format(sum(1 << int(row) for row in found), "x") == GOLDENS[seed]


@pytest.mark.parametrize("filter_by", PRUNING)
@pytest.mark.parametrize("least", [0, 1])
def test_the_only_row_of_a_class_is_never_pruned(filter_by, least):
    label = np.array([0, 0, 0, 1, 2])
    probabilities = np.array(
        [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.9, 0, 0.1], [0.9, 0.1, 0], [1, 0, 0]]
    )
    found = find_label_issues(
        label,
        probabilities,
        filter_by=filter_by,
        min_examples_per_class=least,
        confident_joint=np.full((3, 3), 5) - 5 * np.eye(3),
    )
    assert not found[label != 0].any()


def test_of_a_row_with_a_nought_on_its_diagonal_the_others_lose_more_than_the_diagonal_gains():
    counts = np.array([[0, 6, 4], [1, 5, 0], [0, 1, 5]])
    assert prune_counts(counts, min_examples_per_class=4).tolist() == [
        [4, 2, 0],
        [1, 5, 0],
        [0, 1, 5],
    ]
    counts[0, 0] = 1
    assert prune_counts(counts, min_examples_per_class=4)[0].tolist() == [4, 4, 2]


@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
def test_as_many_of_each_true_class_are_removed_as_are_asked_for_or_none(seed, classes):
    rng = np.random.default_rng(seed)
    counts, remove = rng.integers(0, 4, (classes, classes)), rng.integers(0, 20, classes)
    found = removal_counts(counts, remove)
    assert (found >= 0).all() and not found.diagonal().any()
    assert not found[(counts == 0) & ~np.eye(classes, dtype=bool)].any()
    total = found.sum(axis=0)
    assert ((total == remove) | (total == 0)).all()
    np.testing.assert_array_equal(found, slow_removal(counts, remove))


@pytest.mark.parametrize("filter_by", ["confident_learning", "low_self_confidence"])
def test_an_absent_class_is_found_only_where_two_other_classes_are_likely_too(filter_by):
    label = np.array([0, 0, 2, 2])
    probabilities = np.array([[0.4, 0.5, 0.1], [0.3, 0.0, 0.7], [0.1, 0, 0.9], [0.3, 0.4, 0.3]])
    assert joints.confident_joint(label, probabilities, calibrated=False).tolist() == [
        [1, 0, 1],
        [0, 1, 0],
        [0, 0, 1],
    ]
    found = find_label_issues(label, probabilities, filter_by=filter_by)
    assert found.sum() == 1


@pytest.mark.parametrize("gap", [0, 2e-16, 9e-7])
@pytest.mark.parametrize("filter_by", FILTERS[:5])
def test_a_label_that_misses_the_largest_probability_by_rounding_is_no_issue(filter_by, gap):
    label = np.array([0, 0, 0, 1, 1, 1])
    probabilities = np.array([[0.5, 0.5]] * 2 + [[0.9, 0.1]] + [[0.5, 0.5]] * 3)
    probabilities[0] += -gap / 2, gap / 2
    options = {"confident_joint": [[0, 9], [0, 9]]} if filter_by in PRUNING else {}
    assert not find_label_issues(label, probabilities, filter_by=filter_by, **options).any()
    probabilities[0] += -1e-6, 1e-6
    found = find_label_issues(label, probabilities, filter_by=filter_by, **options)
    assert np.flatnonzero(found).tolist() == [0]
