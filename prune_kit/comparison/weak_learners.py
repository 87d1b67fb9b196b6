"""Weak learners as probes of difficulty: do classifiers that know little know what networks learn first?

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
from prune_kit.results.table import ScoreColumn, ScoreTable

STAGES = (1, 2, 5, 10, 20, 50)
LARGEST_FIT = 5000
PASSES = 20  # over the rows, for the support vector machine and the perceptron


@dataclass(frozen=True)
class Probe:
    """A learner's accuracy, in [0, 1], on all examples that it is judged on, and on their easy, middle and hard thirds.

    `stages` is the number of classifiers that AdaBoost had combined, None for the others.
    """

    learner: str
    stages: int | None
    accuracy: float
    easy: float
    middle: float
    hard: float


@dataclass(frozen=True, eq=False, repr=False)
class Probes:
    """What the weak learners show about the examples in the order of the column `by`.

    They were fitted on `fitted` training rows, and judged on `judged` examples that they had not
    seen, `where` says which. `tied` is the share of those that have the commonest score: among
    equals, who falls into which third is decided by the content's digest and means nothing.
    `boosting` is the correlation of AdaBoost's own measure of ease, the share of its stages at
    which an example is right, with the column's; None without AdaBoost.
    """

    by: str
    fitted: int
    judged: int
    where: str
    tied: float
    probes: tuple[Probe, ...]
    boosting: Correlation | None


def probe(
    data: Dataset,
    table: ScoreTable,
    *,
    by: str | None = None,
    learners: Iterable[str] | None = None,
    stages: Sequence[int] = STAGES,
    rows: int = LARGEST_FIT,
    seed: int = 0,
) -> Probes:
    """Fit weak learners on the pixels, and judge them on the easy, the middle and the hard third by a score.

    `by` is a column of `table`; left out, the latest learning_speed, else the latest consistency,
    else the only column. The learners are fitted on at most `rows` training rows, drawn by `seed`,
    under their own labels, and judged on at most as many test examples where the column scores
    those; else on training rows that were not fitted on, and then at most half are fitted on.
    `learners` are some of NAMES, all by default. Raises OptionError, TableError; IdentityError when
    the table is of other data.
    """
    check_same(data.rows, table.rows, f"the data {data.rows.data}", "the score table")
    names = list(dict.fromkeys(NAMES if learners is None else learners))
    for name in names:
        if name not in NAMES:
            raise registry.unknown_name_error("learner", name, NAMES)
    check_seeds(seed=seed)
    if rows < 1:
        raise OptionError(f"--rows {rows} is out of range; at least 1")
    if not stages or min(stages) < 1:
        raise OptionError(
            f"--stages {','.join(map(str, stages))} is out of range; whole numbers, at least 1"
        )
    column = table.column(by or _usual_column(table))
    fitted, judged = _drawn(data, column, rows, seed)
    if len(np.unique(fitted.labels)) < 2:
        raise OptionError(f"--rows {rows} draws rows of one class only to fit on; give more")
    thirds = np.array_split(np.lexsort((judged.digest, -judged.ease)), 3)
    probes, boosting = [], None
    for name in names:
        if name == BOOSTING:
            right = _boosted(fitted, judged, max(stages), seed)
            probes += [
                _probe(name, k, right[k - 1], thirds)
                for k in sorted(set(stages))
                if k <= len(right)
            ]
            boosting = correlation(right.mean(axis=0), judged.ease)
        else:
            predicted = (
                LEARNERS[name](seed).fit(fitted.pixels, fitted.labels).predict(judged.pixels)
            )
            probes.append(_probe(name, None, predicted == judged.labels, thirds))
    tied = float(np.unique(judged.ease, return_counts=True)[1].max() / len(judged.ease))
    return Probes(
        column.name,
        len(fitted.labels),
        len(judged.labels),
        judged.where,
        tied,
        tuple(probes),
        boosting,
    )


@dataclass(frozen=True, eq=False)
class _Examples:
    """Some examples: `pixels` (n, d) in [0, 1], labels, digests and how easy they are (n,); `where` they come from."""

    pixels: np.ndarray
    labels: np.ndarray
    digest: np.ndarray
    ease: np.ndarray
    where: str


def _drawn(data: Dataset, column: ScoreColumn, rows: int, seed: int) -> tuple[_Examples, _Examples]:
    """The examples to fit on, and those to judge on. Raises TableError when one of the latter has no score."""
    chance = np.random.default_rng([seed, 2])
    training = chance.permutation(data.rows.training)
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
        chosen = np.sort(chance.permutation(len(scores))[:rows])
        ease = sign * scores[chosen]
        judged = _Examples(
            _pixels(test.images[chosen]),
            test.label[chosen],
            test.digest[chosen],
            ease,
            "test examples",
        )
    unknown = int(np.isnan(judged.ease).sum())
    if unknown:
        more = "add folds (prune-kit info says how many), or " if "votes" in column.extras else ""
        raise TableError(
            f"{column.name} has no score (NaN) for {unknown:,} of the {len(judged.ease):,} "
            f"examples to judge on; {more}choose another column with --by"
        )
    return fitted, judged


def _usual_column(table: ScoreTable) -> str | None:
    """The latest learning_speed, which has few ties; else the latest consistency, if any."""
    for method in ("learning_speed", "consistency"):
        names = [name for name, column in table.columns.items() if column.method == method]
        if names:
            return max(names, key=lambda name: int(name.partition("@")[2]))
    return None


def _pixels(images: np.ndarray) -> Float[np.ndarray, "n d"]:
    """Images uint8 as flat rows of float32 in [0, 1]."""
    return images.reshape(len(images), -1).astype(np.float32) / 255


def _probe(
    name: str, stages: int | None, right: Bool[np.ndarray, "M"], thirds: list[np.ndarray]
) -> Probe:
    shares = [float(right[third].mean()) if len(third) else float("nan") for third in thirds]
    return Probe(name, stages, float(right.mean()), *shares)


def _boosted(
    fitted: _Examples, judged: _Examples, stages: int, seed: int
) -> Bool[np.ndarray, "k M"]:
    """Which examples AdaBoost has right after each of its k stages; fewer than `stages` where it has learned all rows.

    Raises OptionError when a single linear classifier is no better than chance.
    """
    from sklearn.ensemble import AdaBoostClassifier
    from sklearn.linear_model import RidgeClassifier

    # weak by a penalty of 1 on pixels in [0, 1] under weights that sum to 1. Single passes of the
    # perceptron rule, and least squares with less penalty, boost to worse than their first stage on
    # digits and MNIST
    weak = RidgeClassifier(alpha=1.0)
    # the multi-class algorithm of Hastie et al.; newer scikit-learns know no other, and deprecate
    # its name
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
            f"--rows, or leave it out: --learners {','.join(LEARNERS)}"
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
