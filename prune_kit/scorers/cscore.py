"""cscore: how often networks that never saw an example get it right.

Paper: Jiang, Zhang, Talwar, Mozer 2021, https://arxiv.org/abs/2002.03206, equation 2 and algorithm
1. It is averaged over sizes of the training set.
"""

import math
from typing import Any

import numpy as np
from jaxtyping import Float

from prune_kit.checks import MOST_RUNS
from prune_kit.data.dataset import Dataset
from prune_kit.data.identity import Rows
from prune_kit.errors import OptionError
from prune_kit.results.column import ScoreColumn
from prune_kit.scorers import Runs

HIGHER_MEANS = "easier"
NEEDS = "folds"
AVERAGES = "per_ratio"
OPTIONS = {
    "ratios": {
        "type": "list[int]",
        "default": (10, 20, 30, 40, 50, 60, 70, 80, 90),
        "metavar": "LIST",
        "help": "Percents of the rows to train on.",
    },
    "folds": {
        "type": "int",
        "default": 20,
        "metavar": "K",
        "help": "Networks for each ratio; a larger number extends.",
    },
    "sampling": {
        "type": "str",
        "default": "balanced",
        "choices": ("balanced", "uniform"),
        "help": "How the rows of a network are drawn.",
    },
}


def check_options(*, ratios: tuple[int, ...], folds: int, sampling: str) -> None:
    """Check the percents and the number of networks.

    Parameters
    ----------
    ratios
        The percents of the rows that networks are trained on.
    folds
        The number of networks for each ratio.
    sampling
        "balanced" or "uniform". It is not checked here.

    Raises
    ------
    OptionError
        If the ratios are not percents from 1 to 99, each once, or if there are too few or too many
        folds.
    """
    in_range = all(1 <= ratio <= 99 for ratio in ratios)
    if not ratios or not in_range or len(set(ratios)) < len(ratios):
        raise OptionError(
            f"ratios={list(ratios)} is out of range; expected percents from 1 to 99, each once, "
            "such as ratios=[30, 70]"
        )
    if not 1 <= folds <= MOST_RUNS:
        raise OptionError(f"folds={folds} is out of range; at least 1, at most {MOST_RUNS:,}")


def score(
    data: Dataset, runs: Runs, *, epoch: None, ratios: tuple[int, ...], folds: int, sampling: str
) -> Float[np.ndarray, "S N"]:
    """For each ratio the share of the networks that held an example out and classified it right.

        C_s(x, y) = mean of 1[f_r(x) = y]        in [0, 1]

    over the networks r with (x, y) not in D_r, where |D_r| = s n. The column is the unweighted mean
    over the ratios s; one ratio alone is the paper's point estimate. An example that no network
    held out at some ratio is NaN there, and so in the column.

    Parameters
    ----------
    data, runs, epoch
        As `scorers.Scorer`. Folds have no epochs.
    ratios
        The percents of the rows that networks are trained on.
    folds
        The number of networks for each ratio.
    sampling
        "balanced" or "uniform", see `runs.subsets.held_out_sets`.
    """
    asked, right = runs.holdout.votes()
    shares: np.ndarray = np.divide(right, asked, out=np.full(asked.shape, np.nan), where=asked > 0)
    return shares


def extra_arrays(
    data: Dataset, runs: Runs, scores: Float[np.ndarray, "S N"], *, epoch: None, **options: Any
) -> dict[str, np.ndarray]:
    """The votes behind every share (S, N) and in all (N,); the held-out probabilities (N, C).

    Parameters are those of `scorers.ScorerExtras`. The epoch is None.
    """
    asked, _ = runs.holdout.votes()
    kept = {"per_ratio_votes": asked, "votes": asked.sum(axis=0, dtype=np.int32)}
    probability = runs.holdout.probability()
    return kept if probability is None else {**kept, "probability": probability.astype(np.float16)}


def provenance(runs: Runs, *, epoch: None, **options: Any) -> dict[str, Any]:
    """The arithmetic, the threads and the mean test accuracy of the folds.

    They are not those of the runs.

    Parameters are those of `scorers.ScorerExtras`. The epoch is None.
    """
    holdout = runs.holdout
    return {
        "fold_precision": holdout.execution.precision,
        "fold_threads": holdout.execution.recorded_threads,
        "test_accuracy_by_ratio": [
            round(float(value), 6) for value in holdout.test_accuracy().mean(axis=1)
        ],
    }


def standard_error(column: ScoreColumn) -> Float[np.ndarray, "N"]:
    """The standard error of every example's score.

        e_i^2 = 1/S^2 sum_s p_si (1 - p_si) / (v_si - 1)        e_i in [0, 0.5]

    with p the share right and v the votes of example i at ratio s: the unbiased estimate of the
    variance of a mean of independent votes. NaN where some ratio has fewer than two votes.
    """
    shares = column.extras["per_ratio"].astype(np.float64)
    votes = column.extras["per_ratio_votes"]
    variance = np.divide(
        shares * (1 - shares), votes - 1, out=np.full(shares.shape, np.nan), where=votes > 1
    )
    errors: np.ndarray = np.sqrt(np.maximum(variance, 0).sum(axis=0)) / len(shares)
    return errors


def typical_error(column: ScoreColumn) -> float:
    """The root of the mean squared `standard_error` over the examples that have one.

    NaN where none has.
    """
    errors = standard_error(column)
    known = errors[~np.isnan(errors)]
    return float(np.sqrt((known**2).mean())) if len(known) else math.nan


def error_sentence(column: ScoreColumn, rows: Rows) -> str:
    """The typical standard error of an example's score, and how many training rows it speaks of."""
    count = len(rows.training)
    known = int((~np.isnan(standard_error(column)[rows.training])).sum())
    if not known:
        return (
            "the standard error of an example's score is unknown: it takes two votes at every ratio"
        )
    of = (
        f"the {count:,} training rows"
        if known == count
        else f"the {known:,} of {count:,} training rows that have one"
    )
    why = "" if known == count else "; it takes two votes at every ratio"
    return (
        f"the standard error of an example's score is {typical_error(column):.3f} "
        f"(root mean square over {of}{why})"
    )


def shortfall(column: ScoreColumn, rows: Rows) -> str:
    """Which training rows lack a vote, and how many folds would give every row one.

    Empty where every row has one.
    """
    lacking = column.extras["per_ratio_votes"][:, rows.training] == 0
    if not lacking.any():
        return ""
    ratios = column.parameters["ratios"]
    folds = column.parameters["folds"]
    where = [
        f"{ratio} % ({int(row.sum()):,})"
        for ratio, row in zip(ratios, lacking, strict=True)
        if row.any()
    ]
    needed = max(
        folds_needed(ratio, len(rows.training), column.parameters["sampling"]) for ratio in ratios
    )
    about = "" if column.parameters["sampling"] == "balanced" else "About "
    more = max(needed - folds, 1)
    count = int(lacking.any(axis=0).sum())
    return (
        f"{count:,} of {len(rows.training):,} training rows {'has' if count == 1 else 'have'} no "
        f"score (NaN), for want of a network that held them out at {' or '.join(where)}. "
        f"{about}{more} more {'fold gives' if more == 1 else 'folds give'} every row a vote: "
        f"folds={folds + more}"
    )


def folds_needed(ratio: int, count: int, sampling: str) -> int:
    """How many folds give each of `count` rows a vote when `ratio` percent are trained on.

    The number is exact for balanced sampling. For uniform sampling it is the number at which a
    twentieth of a row is expected to lack a vote.

    Parameters
    ----------
    ratio
        The percent of the rows that a network is trained on, 1 to 99.
    count
        The number of training rows.
    sampling
        "balanced" or "uniform".
    """
    from prune_kit.runs.subsets import held_out_count  # which loads torch

    held_out = held_out_count(ratio, count) / count
    if sampling == "balanced":
        return math.ceil(1 / held_out - 1e-9)
    return math.ceil(math.log(0.05 / count) / math.log(1 - held_out))
