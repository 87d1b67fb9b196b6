"""Weak learners as a measure of difficulty: do they know what networks learn first?

Paper: Hacohen and Weinshall 2019, "All Neural Networks are Created Equal",
https://arxiv.org/abs/1905.10854, section 5.
"""

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from prune_kit import registry
from prune_kit.checks import check_seeds
from prune_kit.comparison.dynamics import Correlation, correlation
from prune_kit.data.dataset import Dataset
from prune_kit.data.identity import check_same
from prune_kit.errors import OptionError, TableError
from prune_kit.results.column import ScoreColumn
from prune_kit.results.table import ScoreTable

STAGES = (1, 2, 5, 10, 20, 50)
LARGEST_FIT = 5000
PASSES = 20  # over the rows, by the support vector machine and the perceptron


@dataclass(frozen=True)
class LearnerAccuracy:
    """The accuracy of a learner on examples that it was not fitted on.

    Attributes
    ----------
    learner : str
        One of NAMES.
    stages : int or None
        The number of classifiers that AdaBoost had combined. None for the other learners.
    accuracy, easy, middle, hard : float
        On all examples and on their thirds, in [0, 1]. NaN for an empty third.
    """

    learner: str
    stages: int | None
    accuracy: float
    easy: float
    middle: float
    hard: float


@dataclass(frozen=True, eq=False, repr=False)
class WeakLearnerReport:
    """What weak learners know about examples that are ordered by a score.

    Attributes
    ----------
    by : str
        The column that orders the examples.
    fitted, judged : int
        The number of training rows that the learners were fitted on, and of the examples that they
        were judged on.
    where : str
        What the judged examples are.
    tied : float
        The share of the judged examples that have the commonest score, in [0, 1]. The content
        digest decides which of them falls into which third, and this means nothing.
    accuracies : tuple of LearnerAccuracy
        One for each learner, and for each number of stages of AdaBoost.
    boosting : Correlation or None
        The correlation of the column with the share of AdaBoost's stages at which an example is
        right. None without AdaBoost.
    """

    by: str
    fitted: int
    judged: int
    where: str
    tied: float
    accuracies: tuple[LearnerAccuracy, ...]
    boosting: Correlation | None


def weak_learner_report(
    data: Dataset,
    table: ScoreTable,
    *,
    by: str | None = None,
    learners: Iterable[str] | None = None,
    stages: Sequence[int] = STAGES,
    rows: int = LARGEST_FIT,
    seed: int = 0,
) -> WeakLearnerReport:
    """Fit weak learners on the pixels, and judge them on the thirds of the examples by a score.

    The learners are judged on test examples where the column scores these. Otherwise they are
    judged on training rows, and are fitted on at most half of the training rows.

    Parameters
    ----------
    data : Dataset
        The images and labels.
    table : ScoreTable
        Scores of the same rows.
    by : str, optional
        The column that orders the examples. The default is the latest learning_speed, or the latest
        consistency, or the only column.
    learners : iterable of str, optional
        Some of NAMES. The default is all of them.
    stages : sequence of int
        The numbers of classifiers in AdaBoost at which it is judged, each at least 1.
    rows : int
        Fit on at most this number of rows, and judge on at most this number of examples.
    seed : int
        Draws the rows, and seeds the learners.

    Raises
    ------
    OptionError
        A value is out of range, or a learner is unknown.
    TableError
        A judged example has no score.
    IdentityError
        The table is of other data.
    """
    check_same(data.rows, table.rows, f"the data {data.rows.data}", "the score table")
    names = list(dict.fromkeys(NAMES if learners is None else learners))
    _check_options(names, stages, rows)
    check_seeds(seed=seed)
    column = table.column(by or _usual_column(table))
    fitted, judged = _drawn(data, column, rows, seed)
    if len(np.unique(fitted.labels)) < 2:
        raise OptionError(f"rows={rows} draws rows of one class only to fit on; give more")
    thirds = np.array_split(np.lexsort((judged.digest, -judged.ease)), 3)
    accuracies = []
    boosting = None
    for name in names:
        if name == BOOSTING:
            right = _boosted(fitted, judged, max(stages), seed)
            accuracies += [
                _accuracy(name, k, right[k - 1], thirds)
                for k in sorted(set(stages))
                if k <= len(right)
            ]
            boosting = correlation(right.mean(axis=0), judged.ease)
        else:
            predicted = (
                LEARNERS[name](seed).fit(fitted.pixels, fitted.labels).predict(judged.pixels)
            )
            accuracies.append(_accuracy(name, None, predicted == judged.labels, thirds))
    tied = float(np.unique(judged.ease, return_counts=True)[1].max() / len(judged.ease))
    return WeakLearnerReport(
        column.name,
        len(fitted.labels),
        len(judged.labels),
        judged.where,
        tied,
        tuple(accuracies),
        boosting,
    )


def _check_options(names: list[str], stages: Sequence[int], rows: int) -> None:
    for name in names:
        if name not in NAMES:
            raise registry.unknown_name_error("learner", name, NAMES)
    if rows < 1:
        raise OptionError(f"rows={rows} is out of range; at least 1")
    if not stages or min(stages) < 1:
        raise OptionError(f"stages={list(stages)} is out of range; whole numbers, at least 1")


@dataclass(frozen=True, eq=False)
class _Examples:
    """Examples: `pixels` (n, d) in [0, 1]; labels, digests and ease (n,); what they are."""

    pixels: np.ndarray
    labels: np.ndarray
    digest: np.ndarray
    ease: np.ndarray
    where: str


def _drawn(data: Dataset, column: ScoreColumn, rows: int, seed: int) -> tuple[_Examples, _Examples]:
    """The examples to fit on, and those to judge on. Raises TableError for one without a score."""
    rng = np.random.default_rng([seed, 2])
    training = rng.permutation(data.rows.training)
    scores = column.test.get("scores")
    sign = -1.0 if column.harder == "higher" else 1.0

    def some(chosen: np.ndarray) -> _Examples:
        chosen = np.sort(chosen)
        ease = sign * column.values[chosen]
        where = "training rows that they were not fitted on"
        return _Examples(
            _pixels(data.images[chosen]), data.labels[chosen], data.rows.digest[chosen], ease, where
        )

    if scores is None:
        count = min(rows, len(training) // 2)
        fitted, judged = some(training[:count]), some(training[count:][:rows])
    else:
        fitted, test = some(training[:rows]), data.test
        chosen = np.sort(rng.permutation(len(scores))[:rows])
        ease = sign * scores[chosen]
        judged = _Examples(
            _pixels(test.images[chosen]),
            test.label[chosen],
            test.digest[chosen],
            ease,
            "test examples",
        )
    unscored = int(np.isnan(judged.ease).sum())
    if unscored:
        more = "add folds (prune-kit info says how many), or " if "votes" in column.extras else ""
        raise TableError(
            f"{column.name} has no score (NaN) for {unscored:,} of the {len(judged.ease):,} "
            f"examples to judge on; {more}choose another column with `by`"
        )
    return fitted, judged


def _usual_column(table: ScoreTable) -> str | None:
    """The latest learning_speed, which has few ties, or the latest consistency, or None."""
    for method in ("learning_speed", "consistency"):
        names = [name for name, column in table.columns.items() if column.method == method]
        if names:
            return max(names, key=lambda name: int(name.partition("@")[2]))
    return None


def _pixels(images: np.ndarray) -> Float[np.ndarray, "n d"]:
    """Images uint8 as flat rows of float32 in [0, 1]."""
    return images.reshape(len(images), -1).astype(np.float32) / 255


def _accuracy(
    name: str, stages: int | None, right: Bool[np.ndarray, "M"], thirds: list[np.ndarray]
) -> LearnerAccuracy:
    shares = [float(right[third].mean()) if len(third) else float("nan") for third in thirds]
    return LearnerAccuracy(name, stages, float(right.mean()), *shares)


def _boosted(
    fitted: _Examples, judged: _Examples, stages: int, seed: int
) -> Bool[np.ndarray, "k M"]:
    """Which examples AdaBoost has right after each of its k stages.

    There are fewer than `stages` where it has learned all rows. Raises OptionError where a single
    linear classifier is no better than chance.
    """
    from sklearn.ensemble import AdaBoostClassifier
    from sklearn.linear_model import RidgeClassifier

    # A penalty of 1 makes it weak: the pixels lie in [0, 1], and the weights add up to 1. On digits
    # and MNIST, single passes of the perceptron rule, and least squares with a smaller penalty,
    # boost to less than their first stage.
    weak = RidgeClassifier(alpha=1.0)
    # The multi-class algorithm of Hastie et al. Newer versions of scikit-learn have no other, and
    # deprecate its name.
    algorithm = inspect.signature(AdaBoostClassifier).parameters.get("algorithm")
    named = (
        {"algorithm": "SAMME"} if algorithm is not None and algorithm.default == "SAMME.R" else {}
    )
    boosting = AdaBoostClassifier(weak, n_estimators=stages, random_state=seed, **named)
    try:
        boosting.fit(fitted.pixels, fitted.labels)
    except ValueError as error:
        raise OptionError(
            f"AdaBoost cannot start on these {len(fitted.labels):,} rows ({error}). Give more "
            f"`rows`, or leave AdaBoost out: learners={list(LEARNERS)}"
        ) from error
    return np.stack(
        [predicted == judged.labels for predicted in boosting.staged_predict(judged.pixels)]
    )


def _svm(seed: int) -> Any:
    from sklearn.linear_model import SGDClassifier

    return SGDClassifier(loss="hinge", max_iter=PASSES, tol=None, average=True, random_state=seed)


def _knn(seed: int) -> Any:
    from sklearn.neighbors import KNeighborsClassifier

    return KNeighborsClassifier(5)


def _perceptron(seed: int) -> Any:
    from sklearn.linear_model import Perceptron

    return Perceptron(max_iter=PASSES, tol=None, random_state=seed)


def _tree(seed: int) -> Any:
    from sklearn.tree import DecisionTreeClassifier

    return DecisionTreeClassifier(random_state=seed)


def _forest(seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(random_state=seed)


def _naive_bayes(seed: int) -> Any:
    from sklearn.naive_bayes import GaussianNB

    return GaussianNB()


LEARNERS: dict[str, Callable[[int], Any]] = {
    "svm": _svm,
    "knn": _knn,
    "perceptron": _perceptron,
    "tree": _tree,
    "forest": _forest,
    "naive_bayes": _naive_bayes,
}
BOOSTING = "adaboost"
NAMES = (BOOSTING, *LEARNERS)
