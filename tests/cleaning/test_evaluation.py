"""Evaluation of suspected labels: against scikit-learn, against drawing at random, and NaN."""

import json
import math
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from prune_kit.cleaning.evaluation import WRITTEN_STEPS, Evaluation, evaluate, evaluation_json
from prune_kit.errors import DataError, TableError
from tests.cleaning.evaluated_rows import drawn, evaluated

SEEDS = st.integers(0, 2**32 - 1)


def same(one, other):
    """Whether two evaluations are equal, NaN being equal to NaN."""
    names = ["a", "b", "c", "d"]
    return evaluation_json(one, names) == evaluation_json(other, names)


# against scikit-learn


def check_list(one, wrong, flagged):
    expected = metrics.precision_recall_fscore_support(
        wrong, flagged, labels=[True], zero_division=np.nan
    )
    precision, recall, f1, count = (values.item() for values in expected)
    assert [one.precision, one.recall, one.f1] == pytest.approx(
        [precision, recall, f1], nan_ok=True
    )
    assert one.wrong == count


def check_whole(found, rows):
    wrong = rows["label"] != rows["true_label"]
    check_list(found, wrong, rows["flagged"])
    if wrong.any():
        assert found.average_precision == pytest.approx(
            metrics.average_precision_score(wrong, rows["suspicion"])
        )
        precision, recall, _ = metrics.precision_recall_curve(wrong, rows["suspicion"])
        np.testing.assert_allclose(found.curve.precision, precision[-2::-1])
        np.testing.assert_allclose(found.curve.recall, recall[-2::-1])
    if wrong.any() and not wrong.all():
        assert found.auroc == pytest.approx(metrics.roc_auc_score(wrong, rows["suspicion"]))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("levels", [None, 4.0, 0.5])
def test_the_numbers_are_those_of_scikit_learn_with_ties_and_without(levels, seed):
    rows = drawn(levels=levels, seed=seed)
    found = evaluate(**rows)
    check_whole(found, rows)
    for number, one in enumerate(found.per_class):
        of_class = rows["label"] == number
        check_list(one, rows["true_label"][of_class] != number, rows["flagged"][of_class])


@given(
    SEEDS,
    st.integers(1, 30),
    st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    st.sampled_from([None, 0.5, 2.0]),
)
def test_the_numbers_of_a_few_rows_are_those_of_scikit_learn(seed, n, rate, levels):
    rows = drawn(n=n, rate=rate, levels=levels, seed=seed)
    check_whole(evaluate(**rows), rows)


# what scikit-learn has not


def test_auroc_counts_pairs_with_a_tie_as_half_and_takes_infinite_suspicions():
    suspicion = np.array([math.inf, math.inf, 2.0, 2.0, 0.0, -math.inf])
    wrong = np.array([True, False, True, False, False, True])
    differences = [
        [one > other, one == other] for one in suspicion[wrong] for other in suspicion[~wrong]
    ]
    above, tied = np.sum(differences, axis=0)
    quality = evaluated(suspicion, wrong)
    assert quality.auroc == pytest.approx((above + tied / 2) / 9)
    assert quality.average_precision == pytest.approx((1 / 2 + 2 / 4 + 3 / 6) / 3)


def test_precision_at_the_true_count_is_the_mean_over_random_orders_of_tied_rows():
    rows = drawn(n=60, levels=1.0)
    wrong = rows["label"] != rows["true_label"]
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(4000):
        order = np.lexsort((rng.random(60), -rows["suspicion"]))
        draws.append(wrong[order[: wrong.sum()]].mean())
    assert np.std(draws) > 0
    assert evaluate(**rows).precision_at_wrong == pytest.approx(
        np.mean(draws), abs=4 * np.std(draws) / 60
    )


def test_precision_at_the_true_count_without_ties_is_plain_counting():
    found = evaluated([5, 4, 3, 2, 1], [1, 0, 1, 1, 0])
    assert found.precision_at_wrong == pytest.approx(2 / 3)
    assert evaluated([1, 1, 1, 1], [1, 0, 0, 0]).precision_at_wrong == 0.25


def test_the_curve_says_how_many_rows_each_cut_lists():
    found = evaluated([3, 3, 2, 1], [1, 0, 1, 0])
    assert found.curve.listed.tolist() == [2, 3, 4]
    assert found.curve.recall.tolist() == [0.5, 1, 1]


def test_suggestions_are_judged_where_a_wrong_label_is_flagged_and_a_missing_one_is_not_right():
    rows = {
        "suspicion": np.arange(5.0),
        "flagged": np.array([True, True, True, True, False]),
        "label": np.array([0, 0, 1, 1, 0]),
        "true_label": np.array([1, 2, 0, 1, 1]),
        "classes": 3,
    }
    found = evaluate(**rows, suggested=np.array([1, -1, 2, 1, 1]))
    assert found.suggestions_right == pytest.approx(1 / 3)
    assert [one.suggestions_right for one in found.per_class] == [
        0.5,
        0.0,
        pytest.approx(math.nan, nan_ok=True),
    ]
    assert math.isnan(evaluate(**rows, suggested=np.full(5, -1)).suggestions_right)


def test_the_rate_is_compared_with_the_share_of_wrong_labels():
    found = evaluated([1, 2, 3, 4], [0, 0, 0, 1], noise_rate=(0.3, 0.2, 0.4))
    assert (found.true_rate, found.rate_error, found.rate_covered) == (
        0.25,
        pytest.approx(0.05),
        True,
    )
    assert evaluated([1, 2], [0, 1], noise_rate=(0.3, 0.2, 0.4)).rate_covered is False
    unknown = evaluated([1, 2], [0, 1])
    assert unknown.rate_covered is None
    assert math.isnan(unknown.estimated_rate)
    assert math.isnan(unknown.rate_error)


# laws


@given(SEEDS, st.integers(1, 80))
def test_the_numbers_of_the_classes_add_up_to_the_totals(seed, n):
    found = evaluate(**drawn(n=n, seed=seed))
    for count in ("rows", "wrong", "flagged", "found"):
        assert sum(getattr(one, count) for one in found.per_class) == getattr(found, count)
    shares = {"precision": "flagged", "recall": "wrong", "suggestions_right": "found"}
    for share, of in shares.items():
        if getattr(found, of) and not math.isnan(getattr(found, share)):
            parts = sum(
                getattr(one, share) * getattr(one, of)
                for one in found.per_class
                if getattr(one, of)
            )
            assert parts == pytest.approx(getattr(found, share) * getattr(found, of))


@given(
    SEEDS,
    st.integers(1, 60),
    st.sampled_from([lambda x: 7 * x - 3, np.exp, np.arctan, lambda x: x**3]),
)
def test_scaling_the_suspicion_monotonically_changes_nothing(seed, n, scaled):
    rows = drawn(n=n, seed=seed)
    assert same(evaluate(**rows), evaluate(**{**rows, "suspicion": scaled(rows["suspicion"])}))


@given(SEEDS, st.integers(2, 60))
def test_the_order_of_the_rows_changes_nothing(seed, n):
    rows = drawn(n=n, seed=seed)
    order = np.random.default_rng(seed).permutation(n)
    shuffled = {name: value if name == "classes" else value[order] for name, value in rows.items()}
    assert same(evaluate(**rows), evaluate(**shuffled))


def test_a_perfect_list_is_perfect():
    wrong = [1, 1, 0, 0, 0]
    found = evaluated([5, 4, 3, 2, 1], wrong, wrong)
    assert {found.precision, found.recall, found.f1, found.auroc} == {1.0}
    assert {found.average_precision, found.precision_at_wrong} == {1.0}


# what cannot be told


def undefined(found):
    return {
        name
        for name, value in vars(found).items()
        if isinstance(value, float) and math.isnan(value)
    }


RATE = {"estimated_rate", "rate_error", "rate_low", "rate_high"}


def test_nothing_flagged_has_no_precision():
    found = evaluated([1, 2, 3], [0, 1, 0])
    assert undefined(found) == {"precision", "suggestions_right"} | RATE
    assert (found.recall, found.f1) == (0, 0)


def test_nothing_wrong_has_no_recall_and_no_quality_of_the_ranking():
    ranking = {"auroc", "average_precision", "precision_at_wrong"}
    found = evaluated([1, 2, 3], [0, 0, 0], [1, 0, 0])
    assert undefined(found) == {"recall", "suggestions_right"} | ranking | RATE
    assert np.isnan(found.curve.recall).all()
    assert "f1" in undefined(evaluated([1, 2, 3], [0, 0, 0]))


def test_everything_wrong_has_no_auroc():
    found = evaluated([1, 2, 3], [1, 1, 1], [1, 0, 0])
    assert undefined(found) == {"auroc", "suggestions_right"} | RATE
    assert (found.average_precision, found.precision_at_wrong) == (1, 1)


def test_a_class_without_rows_is_there_and_undefined():
    empty = evaluated([1, 2], [0, 1], [0, 1]).per_class[1]
    assert (empty.rows, undefined(empty)) == (0, {"precision", "recall", "f1", "suggestions_right"})


def test_rows_without_a_suspicion_and_no_rows_are_refused():
    with pytest.raises(
        TableError, match=r"1 of 3 rows have no suspicion \(NaN\), the first at position 1"
    ):
        evaluated([1, math.nan, 3], [0, 1, 0])
    with pytest.raises(TableError, match="no row to evaluate"):
        evaluated([], [])


@pytest.mark.parametrize("name", ["label", "true_label", "suggested"])
def test_a_label_out_of_range_is_refused(name):
    rows = drawn(n=5)
    for wrong in (4, -2):
        with pytest.raises(DataError, match=rf"{wrong} is out of range; expected -?\d to 3"):
            evaluate(**{**rows, name: np.array([0, 1, wrong, 0, 0])})


# what is written


def test_the_json_has_no_nan_names_the_classes_and_thins_the_curve():
    found = evaluate(**drawn(n=3000, levels=None))
    values = json.loads(json.dumps(evaluation_json(found, ["a", "b", "c", "d"]), allow_nan=False))
    assert set(values) == {field.name for field in fields(Evaluation)}
    assert (values["estimated_rate"], values["precision"]) == (None, found.precision)
    assert [one["class"] for one in values["per_class"]] == ["a", "b", "c", "d"]
    assert len(found.curve.recall) > 10 * WRITTEN_STEPS
    curve = values["curve"]
    assert WRITTEN_STEPS / 2 < len(curve["recall"]) == len(curve["precision"]) <= WRITTEN_STEPS + 2
    assert (curve["listed"][-1], curve["recall"][-1]) == (3000, 1)
    assert np.max(np.diff(curve["recall"], prepend=0)) < 2.5 / WRITTEN_STEPS
    nothing = evaluation_json(evaluated([1, 2, 3], [0, 0, 0]), ["a", "b"])
    assert nothing["curve"]["recall"] == [None, None]
