"""Evaluation of suspected wrong labels: against scikit-learn, against drawing at random, and where
nothing is told."""

import io
import json
import math
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from sklearn import metrics

from prune_kit.cleaning.evaluation import WRITTEN_STEPS, Evaluation, evaluate, evaluation_json
from prune_kit.errors import DataError, OptionError, TableError
from prune_kit.reporting.figures.evaluation import draw_evaluation
from prune_kit_cli.views.evaluation import evaluation_shown

SEEDS = st.integers(0, 2**32 - 1)
PNG_HEADER = b"\x89PNG\r\n\x1a\n"


def drawn(n=300, classes=4, rate=0.3, levels=2.0, seed=0):
    """Rows with wrong labels, of which two thirds are more suspect than most others.

    Ties unless `levels` is None.
    """
    chance = np.random.default_rng(seed)
    true_label = chance.integers(0, classes, n)
    wrong = chance.random(n) < rate
    label = np.where(wrong, (true_label + chance.integers(1, classes, n)) % classes, true_label)
    suspicion = chance.normal(size=n) + 2 * wrong
    if levels:
        suspicion = np.round(suspicion * levels) / levels
    suggested = np.where(chance.random(n) < 0.5, true_label, chance.integers(-1, classes, n))
    return {
        "suspicion": suspicion,
        "flagged": suspicion + chance.normal(size=n) / 2 > 1,
        "label": label,
        "true_label": true_label,
        "suggested": suggested,
        "classes": classes,
    }


def judged(suspicion, wrong, flagged=None, **options):
    """The evaluation of rows of two classes, all given as class 0."""
    wrong = np.array(wrong, dtype=bool)
    return evaluate(
        suspicion=np.array(suspicion, dtype=float),
        flagged=np.zeros_like(wrong) if flagged is None else np.array(flagged, dtype=bool),
        label=np.zeros(len(wrong), dtype=int),
        true_label=wrong.astype(int),
        suggested=np.full(len(wrong), -1),
        classes=2,
        **options,
    )


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
    quality = judged(suspicion, wrong)
    assert quality.auroc == pytest.approx((above + tied / 2) / 9)
    assert quality.average_precision == pytest.approx((1 / 2 + 2 / 4 + 3 / 6) / 3)


def test_precision_at_the_true_count_is_the_mean_over_random_orders_of_tied_rows():
    rows = drawn(n=60, levels=1.0)
    wrong = rows["label"] != rows["true_label"]
    chance = np.random.default_rng(0)
    draws = []
    for _ in range(4000):
        order = np.lexsort((chance.random(60), -rows["suspicion"]))
        draws.append(wrong[order[: wrong.sum()]].mean())
    assert np.std(draws) > 0
    assert evaluate(**rows).precision_at_wrong == pytest.approx(
        np.mean(draws), abs=4 * np.std(draws) / 60
    )


def test_precision_at_the_true_count_without_ties_is_plain_counting():
    found = judged([5, 4, 3, 2, 1], [1, 0, 1, 1, 0])
    assert found.precision_at_wrong == pytest.approx(2 / 3)
    assert judged([1, 1, 1, 1], [1, 0, 0, 0]).precision_at_wrong == 0.25


def test_the_curve_says_how_many_rows_each_cut_lists():
    found = judged([3, 3, 2, 1], [1, 0, 1, 0])
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
    found = judged([1, 2, 3, 4], [0, 0, 0, 1], noise_rate=(0.3, 0.2, 0.4))
    assert (found.true_rate, found.rate_error, found.rate_covered) == (
        0.25,
        pytest.approx(0.05),
        True,
    )
    assert judged([1, 2], [0, 1], noise_rate=(0.3, 0.2, 0.4)).rate_covered is False
    unknown = judged([1, 2], [0, 1])
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
    found = judged([5, 4, 3, 2, 1], wrong, wrong)
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
    found = judged([1, 2, 3], [0, 1, 0])
    assert undefined(found) == {"precision", "suggestions_right"} | RATE
    assert (found.recall, found.f1) == (0, 0)


def test_nothing_wrong_has_no_recall_and_no_quality_of_the_ranking():
    ranking = {"auroc", "average_precision", "precision_at_wrong"}
    found = judged([1, 2, 3], [0, 0, 0], [1, 0, 0])
    assert undefined(found) == {"recall", "suggestions_right"} | ranking | RATE
    assert np.isnan(found.curve.recall).all()
    assert "f1" in undefined(judged([1, 2, 3], [0, 0, 0]))


def test_everything_wrong_has_no_auroc():
    found = judged([1, 2, 3], [1, 1, 1], [1, 0, 0])
    assert undefined(found) == {"auroc", "suggestions_right"} | RATE
    assert (found.average_precision, found.precision_at_wrong) == (1, 1)


def test_a_class_without_rows_is_there_and_undefined():
    empty = judged([1, 2], [0, 1], [0, 1]).per_class[1]
    assert (empty.rows, undefined(empty)) == (0, {"precision", "recall", "f1", "suggestions_right"})


def test_rows_without_a_suspicion_and_no_rows_are_refused():
    with pytest.raises(
        TableError, match=r"1 of 3 rows have no suspicion \(NaN\), the first at position 1"
    ):
        judged([1, math.nan, 3], [0, 1, 0])
    with pytest.raises(TableError, match="no row to judge"):
        judged([], [])


@pytest.mark.parametrize("name", ["label", "true_label", "suggested"])
def test_a_label_out_of_range_is_refused(name):
    rows = drawn(n=5)
    for wrong in (4, -2):
        with pytest.raises(DataError, match=rf"{wrong} is out of range; expected -?\d to 3"):
            evaluate(**{**rows, name: np.array([0, 1, wrong, 0, 0])})


# what is written, drawn, printed


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
    nothing = evaluation_json(judged([1, 2, 3], [0, 0, 0]), ["a", "b"])
    assert nothing["curve"]["recall"] == [None, None]


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_the_picture_is_written_and_the_same_each_time(tmp_path, suffix):
    found = evaluate(**drawn())
    one, again = (draw_evaluation(found, tmp_path / f"{name}{suffix}") for name in ("one", "again"))
    assert one.read_bytes() == again.read_bytes()
    assert one.read_bytes().startswith(PNG_HEADER if suffix == ".png" else b"<?xml")


def titled(found, tmp_path, monkeypatch):
    """The words of the picture's title."""
    said = []
    monkeypatch.setattr(
        "matplotlib.axes.Axes.set_title", lambda _, text, **options: said.append(text)
    )
    draw_evaluation(found, tmp_path / "titled.png")
    return said[0]


def test_the_title_says_what_was_found_and_rounds_to_100_percent_only_what_is_whole(
    tmp_path, monkeypatch
):
    suspicion, wrong = np.arange(1000)[::-1], np.arange(1000) < 400
    said = titled(judged(suspicion, wrong, np.arange(1000) < 399), tmp_path, monkeypatch)
    assert said == "The cut finds over 99 % of the wrong labels; 100 % of the list is wrong"
    said = titled(judged(suspicion, wrong, np.arange(1000) >= 398), tmp_path, monkeypatch)
    assert said == "The list finds under 1 % of the wrong labels; under 1 % of it is wrong"
    nothing = judged(suspicion, wrong)
    assert (
        titled(nothing, tmp_path, monkeypatch)
        == "Nothing is flagged, though 40 % of the labels are wrong"
    )


def test_a_picture_of_nothing_wrong_is_refused(tmp_path):
    with pytest.raises(OptionError, match="nothing to draw; none of the 2 labels is wrong"):
        draw_evaluation(judged([1, 2], [0, 0]), tmp_path / "none.png")


def printed(found, names):
    console = Console(file=io.StringIO(), width=120)
    for item in evaluation_shown(found, names):
        console.print(item, markup=False)
    return console.file.getvalue()


def test_the_tables_say_the_numbers_and_a_dash_for_what_cannot_be_told():
    said = printed(
        judged([4, 3, 2, 1], [1, 1, 0, 0], [1, 0, 1, 0], noise_rate=(0.6, 0.55, 0.7)),
        ["[red]a", "b"],
    )
    assert "50.0 %  of the flagged rows are wrong" in said
    assert "+10.0 points from the true 50.0 %; the interval 55.0 to 70.0 % misses it" in said
    lines = {line.split()[0]: line.split() for line in said.splitlines() if line.strip()}
    assert lines["[red]a"] == ["[red]a", "4", "2", "2", *"50.0 % 50.0 % 0.500 -".split()]
    assert lines["b"] == ["b", "0", "0", "0", "-", "-", "-", "-"]
    assert "no estimate" in printed(judged([1, 2], [0, 1]), ["a", "b"])


def test_of_many_classes_those_with_the_lowest_f1_are_shown_lowest_first():
    found = evaluate(**drawn(n=2000, classes=25))
    said = printed(found, [f"class{number}" for number in range(25)])
    shown = [
        int(line.split()[0][5:]) for line in said.splitlines() if line.strip().startswith("class")
    ]
    assert shown == sorted(range(25), key=lambda number: found.per_class[number].f1)[:20]
    assert "the other 5" in said
