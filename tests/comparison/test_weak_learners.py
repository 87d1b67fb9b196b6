import re
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from sklearn.ensemble import AdaBoostClassifier
from sklearn.linear_model import RidgeClassifier
from sklearn.naive_bayes import GaussianNB

from prune_kit import load_data
from prune_kit.comparison.weak_learners import LEARNERS, NAMES, weak_learner_report
from prune_kit.data.dataset import Dataset, from_arrays
from prune_kit.errors import IdentityError, OptionError, TableError
from prune_kit.results.table import ScoreTable
from tests.conftest import shapes_data
from tests.small_tables import column_of


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_data("digits")


def brightness(images: np.ndarray) -> np.ndarray:
    """The rank of an image's brightness: a score without ties, and without a meaning."""
    ranks: np.ndarray = np.argsort(
        np.argsort(images.reshape(len(images), -1).sum(axis=1), kind="stable")
    ).astype(float)
    return ranks


def table_of(
    data: Dataset, name: str = "consistency@5", *, test: bool = True, harder: str = "lower"
) -> ScoreTable:
    scores = {"scores": brightness(data.test.images).astype(np.float32)} if test else {}
    return ScoreTable(
        data.rows, {name: column_of(brightness(data.images), name=name, harder=harder, test=scores)}
    )


def test_thirds_and_accuracies_are_those_of_a_learner_fitted_by_hand(digits: Dataset) -> None:
    found = weak_learner_report(digits, table_of(digits), learners=["naive_bayes"])
    rows, test = digits.rows.training, digits.test
    flat = [
        np.float32(images.reshape(len(images), -1) / 255)
        for images in (digits.images[rows], test.images)
    ]
    right = GaussianNB().fit(flat[0], digits.labels[rows]).predict(flat[1]) == test.label
    easiest_first = np.argsort(-brightness(test.images))
    thirds = [
        right[part].mean()
        for part in (easiest_first[:120], easiest_first[120:240], easiest_first[240:])
    ]
    (line,) = found.accuracies
    assert (line.learner, line.stages, line.accuracy) == ("naive_bayes", None, right.mean())
    assert [line.easy, line.middle, line.hard] == thirds
    assert (found.by, found.fitted, found.judged, found.where) == (
        "consistency@5",
        1438,
        359,
        "test examples",
    )
    assert found.tied == 1 / 359
    assert found.boosting is None


def test_a_score_of_which_higher_is_harder_turns_the_thirds_around(digits: Dataset) -> None:
    (line,) = weak_learner_report(digits, table_of(digits), learners=["naive_bayes"]).accuracies
    (turned,) = weak_learner_report(
        digits, table_of(digits, harder="higher"), learners=["naive_bayes"]
    ).accuracies
    assert turned.easy == pytest.approx(line.hard, abs=0.01)  # of 120 examples, and of 119
    assert turned.hard == pytest.approx(line.easy, abs=0.01)
    assert line.easy != pytest.approx(line.hard, abs=0.01)


def test_boosting_is_judged_at_every_stage_and_its_order_correlated(digits: Dataset) -> None:
    table = table_of(digits)
    lines = {
        stages: weak_learner_report(
            digits, table, learners=["adaboost"], stages=[stages], rows=400
        ).accuracies[0]
        for stages in (1, 2, 3)
    }
    found = weak_learner_report(digits, table, learners=["adaboost"], stages=[3, 1, 2], rows=400)
    assert [line.stages for line in found.accuracies] == [1, 2, 3]
    assert list(found.accuracies) == [lines[stages] for stages in (1, 2, 3)]
    right = np.array([line.accuracy for line in found.accuracies])
    own = found.boosting
    assert own is not None

    rows, test = (
        np.sort(np.random.default_rng([0, 2]).permutation(digits.rows.training)[:400]),
        digits.test,
    )
    flat = [
        np.float32(images.reshape(len(images), -1) / 255)
        for images in (digits.images[rows], test.images)
    ]
    boosting = AdaBoostClassifier(RidgeClassifier(), n_estimators=3).fit(
        flat[0], digits.labels[rows]
    )
    staged = np.stack([predicted == test.label for predicted in boosting.staged_predict(flat[1])])
    assert right.tolist() == staged.mean(axis=1).tolist()
    share, ease = staged.mean(axis=0), brightness(test.images)
    assert own.pearson == pytest.approx(stats.pearsonr(share, ease).statistic)
    assert own.spearman == pytest.approx(stats.spearmanr(share, ease).statistic)


def test_every_learner_learns_something_and_the_same_again(digits: Dataset) -> None:
    table = table_of(digits)
    found = weak_learner_report(digits, table, rows=300, stages=[2])
    assert [line.learner for line in found.accuracies] == list(NAMES)
    assert all(line.accuracy > 0.5 for line in found.accuracies)
    assert found.accuracies == weak_learner_report(digits, table, rows=300, stages=[2]).accuracies
    assert (
        found.accuracies
        != weak_learner_report(digits, table, rows=300, stages=[2], seed=1).accuracies
    )


def test_without_scores_of_test_examples_no_learner_is_judged_on_what_it_was_fitted_on(
    digits: Dataset,
) -> None:
    found = weak_learner_report(digits, table_of(digits, test=False), learners=["knn"])
    assert (found.fitted, found.judged) == (719, 719)
    assert found.where == "training rows that they were not fitted on"
    # a tree that had seen them would have them all right
    (line,) = weak_learner_report(
        digits, table_of(digits, test=False), learners=["tree"]
    ).accuracies
    assert 0.5 < line.accuracy < 0.99


def test_the_column_is_the_latest_learning_speed_then_consistency_then_the_only_one(
    digits: Dataset,
) -> None:
    def chosen(*names: str) -> str:
        columns = {name: table_of(digits, name).columns[name] for name in names}
        return weak_learner_report(
            digits, ScoreTable(digits.rows, columns), learners=["naive_bayes"], rows=200
        ).by

    assert (
        chosen("consistency@20", "learning_speed@5", "learning_speed@20", "el2n@20")
        == "learning_speed@20"
    )
    assert chosen("el2n@20", "consistency@5", "consistency@10") == "consistency@10"
    assert chosen("el2n@20") == "el2n@20"
    with pytest.raises(TableError, match="which column"):
        chosen("el2n@20", "aum@20")


def test_ties_are_counted_and_broken_by_digest(digits: Dataset) -> None:
    test = digits.test
    scores = np.where(test.digest < np.median(test.digest), 1, 0.5).astype(np.float32)
    column = replace(table_of(digits).columns["consistency@5"], test={"scores": scores})
    found = weak_learner_report(
        digits, ScoreTable(digits.rows, {"consistency@5": column}), learners=["knn"]
    )
    assert found.tied == 180 / 359
    same = replace(
        column, test={"scores": np.zeros_like(scores)}
    )  # in which the digest alone says who comes first
    again = weak_learner_report(
        digits, ScoreTable(digits.rows, {"consistency@5": same}), learners=["knn"]
    )
    assert again.tied == 1
    assert again.accuracies == found.accuracies


def test_what_cannot_be_is_refused(digits: Dataset) -> None:
    table = table_of(digits)
    with pytest.raises(OptionError, match=r"unknown learner 'tre'. Did you mean 'tree'\?"):
        weak_learner_report(digits, table, learners=["tre"])
    for wrong in ({"rows": 0}, {"stages": []}, {"stages": [0]}, {"seed": -1}):
        with pytest.raises(OptionError, match=f"{next(iter(wrong))}=.*at least [01]"):
            weak_learner_report(digits, table, **wrong)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="one class only"):
        weak_learner_report(digits, table, rows=1)
    with pytest.raises(IdentityError, match="another data set"):
        weak_learner_report(shapes_data(), table)
    nan = replace(
        table.columns["consistency@5"], values=np.full(len(digits), np.nan, np.float32), test={}
    )
    with pytest.raises(TableError, match=r"has no score \(NaN\) for .* examples to judge on"):
        weak_learner_report(digits, table.with_columns([nan]), learners=["knn"])


def test_boosting_that_has_nothing_to_boost_says_so() -> None:
    images, label = np.zeros((40, 4, 4), np.uint8), np.repeat([0, 1], 20)
    blank = from_arrays(
        images, label, name="blank", spec="blank", test_images=images, test_label=label
    )
    with pytest.raises(
        OptionError,
        match=f"AdaBoost cannot start on these 40 rows .*learners={re.escape(str(list(LEARNERS)))}",
    ):
        weak_learner_report(blank, table_of(blank), learners=["adaboost"])
