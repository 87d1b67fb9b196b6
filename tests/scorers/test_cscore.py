"""The C-score against algorithm 1 written out, with a classifier in closed form.

Its error, and what it lacks.
"""

from typing import Any

import numpy as np
import pytest
import torch

from prune_kit.data.dataset import Dataset, from_arrays
from prune_kit.pipeline import score
from prune_kit.protocol.config import TrainConfig
from prune_kit.results.column import ScoreColumn
from prune_kit.results.table import ScoreTable
from prune_kit.runs import folds
from prune_kit.runs.subsets import held_out_sets
from prune_kit.scorers import cscore

RATIOS, FOLDS = (20, 50, 80), 12
MLP = TrainConfig(model="mlp", epochs=1, batch_size=16)


@pytest.fixture
def sixty() -> Dataset:
    """60 rows of three classes that overlap."""
    chance = np.random.default_rng(0)
    label = np.arange(60) % 3
    images = np.clip(chance.normal(90 + 25 * label[:, None, None], 60, (60, 4, 4)), 0, 255).astype(
        np.uint8
    )
    return from_arrays(
        images, label, name="sixty", spec="sixty", test_images=images[:9], test_label=label[:9]
    )


def nearest_mean(images: np.ndarray, label: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The classifier: minus the distance to each class's mean image."""
    flat = images.reshape(len(images), -1).astype(float)
    means = np.stack([flat[label == c].mean(axis=0) for c in range(3)])
    return -((asked.reshape(len(asked), 1, -1).astype(float) - means) ** 2).sum(axis=2)


@pytest.fixture
def table(sixty: Dataset, tmp_path, monkeypatch) -> Any:
    def train(holdout, ratio, group, held_out, listener):
        answers = []
        for rows in held_out:
            rest = np.setdiff1d(np.arange(60), rows)
            fitted = sixty.images[rest], sixty.labels[rest]
            answers.append(
                [nearest_mean(*fitted, asked) for asked in (sixty.images[rows], sixty.test.images)]
            )
        return *(torch.from_numpy(np.stack(kind)) for kind in zip(*answers, strict=True)), 0.0

    monkeypatch.setattr(folds, "_together", train)

    def scored(**options: Any) -> ScoreTable:
        given = {"ratios": RATIOS, "folds": FOLDS} | options
        return score(
            sixty, "cscore", config=MLP, workdir=tmp_path, jobs=1, precision="fp32", **given
        )

    return scored


def algorithm_1(data: Dataset, ratio: int, sampling: str) -> tuple[np.ndarray, np.ndarray]:
    """Holdout validation as the paper writes it, with its mask matrix M and its loss matrix L."""
    mask, loss = np.zeros((2, FOLDS, 60), dtype=bool)
    sets = held_out_sets(np.arange(60), ratio, FOLDS, seed=0, sampling=sampling)
    for i, held_out in enumerate(sets):
        mask[i] = True
        mask[i, held_out] = False
        member = np.flatnonzero(mask[i])
        logits = nearest_mean(data.images[member], data.labels[member], data.images)
        loss[i] = logits.argmax(axis=1) != data.labels
    estimate = np.full(60, np.nan)
    for j in range(60):
        without = ~mask[:, j]
        if without.any():
            estimate[j] = (~loss[without, j]).sum() / without.sum()
    return estimate, (~mask).sum(axis=0)


@pytest.mark.parametrize("sampling", ["balanced", "uniform"])
def test_the_score_equals_algorithm_1(sixty, table, sampling):
    column = table(sampling=sampling).columns["cscore"]
    estimates, votes = zip(*(algorithm_1(sixty, ratio, sampling) for ratio in RATIOS), strict=True)
    np.testing.assert_allclose(column.extras["per_ratio"], np.stack(estimates), rtol=1e-6)
    np.testing.assert_array_equal(column.extras["per_ratio_votes"], np.stack(votes))
    np.testing.assert_array_equal(column.extras["votes"], np.sum(votes, axis=0))
    np.testing.assert_allclose(column.values, np.mean(estimates, axis=0), rtol=1e-6)
    assert 0.2 < np.nanmean(column.values) < 1
    assert column.harder == "lower"


def test_one_ratio_alone_is_the_point_estimate(sixty, table):
    column = table(ratios=(50,)).columns["cscore"]
    np.testing.assert_array_equal(column.values, column.extras["per_ratio"][0])


def test_an_example_without_a_vote_is_nan_and_the_message_says_how_many_folds_are_lacking(table):
    found = table(ratios=(50, 80), folds=2)
    column = found.columns["cscore"]
    lacking = (column.extras["per_ratio_votes"] == 0).any(axis=0)
    assert lacking.sum() == 36  # two folds hold 12 each out at 80 %
    np.testing.assert_array_equal(np.isnan(column.values), lacking)
    told = cscore.shortfall(column, found.rows)
    assert told == (
        "36 of 60 training rows have no score (NaN), for want of a network that held them out at "
        "80 % (36). 3 more folds give every row a vote: folds=5"
    )
    assert not np.isnan(table(ratios=(50, 80), folds=5, table=found).columns["cscore"].values).any()


@pytest.mark.parametrize("ratio", [10, 33, 50, 67, 90])
@pytest.mark.parametrize("count", [10, 60, 61])
def test_as_many_balanced_folds_as_are_said_to_be_needed_give_every_row_a_vote_and_fewer_do_not(
    ratio, count
):
    needed = cscore.folds_needed(ratio, count, "balanced")
    for folds_there, expected in ((needed, True), (needed - 1, False)):
        sets = held_out_sets(np.arange(count), ratio, folds_there, seed=0, sampling="balanced")
        asked = np.bincount(np.concatenate([*sets, []]).astype(int), minlength=count)
        assert bool(asked.all()) == expected


def test_uniform_folds_as_many_as_are_said_to_be_needed_leave_no_row_out_in_95_of_100_cases():
    needed = cscore.folds_needed(80, 60, "uniform")
    assert 60 * 0.8**needed <= 0.05 < 60 * 0.8 ** (needed - 1)


def test_the_standard_error_is_the_spread_of_scores_over_other_draws() -> None:
    chance = np.random.default_rng(0)
    truth, votes, draws = np.array([[0.2, 0.5, 0.9], [0.4, 0.7, 1.0]]), 12, 4000
    means = chance.binomial(votes, truth, (draws, 2, 3)) / votes
    real = means.mean(axis=1).std(axis=0)
    squares = [cscore.standard_error(column_of(shares, votes)) ** 2 for shares in means]
    np.testing.assert_allclose(np.sqrt(np.mean(squares, axis=0)), real, rtol=0.05)


def test_the_standard_error_is_unknown_with_a_single_vote() -> None:
    column = column_of(np.array([[1.0, 0.5], [0.0, 0.5]]), np.array([[1, 2], [1, 2]]))
    errors = cscore.standard_error(column)
    assert np.isnan(errors[0])
    assert errors[1] == pytest.approx(np.sqrt(0.25 + 0.25) / 2)
    assert cscore.typical_error(column) == pytest.approx(errors[1])
    assert np.isnan(cscore.typical_error(column_of(np.ones((2, 2)), 1)))


def column_of(shares: np.ndarray, votes: np.ndarray | int) -> ScoreColumn:
    asked = np.broadcast_to(votes, shares.shape)
    extras = {"per_ratio": shares, "per_ratio_votes": asked}
    return ScoreColumn("cscore", shares.mean(axis=0), "cscore", "lower", extras=extras)


def test_the_standard_error_says_how_many_rows_it_speaks_of(table):
    found = table(ratios=(50, 80), folds=2)
    assert "unknown: it takes two votes at every ratio" in cscore.error_sentence(
        found.columns["cscore"], found.rows
    )
    found = table(ratios=(50, 80), folds=6, sampling="uniform")
    column = found.columns["cscore"]
    known = int((column.extras["per_ratio_votes"] > 1).all(axis=0).sum())
    assert 0 < known < 60
    assert (
        f"(root mean square over the {known} of 60 training rows that have one; it takes two votes"
        in (cscore.error_sentence(column, found.rows))
    )
    whole = table(ratios=(50,), folds=8)
    said = cscore.error_sentence(whole.columns["cscore"], whole.rows)
    assert said.endswith("(root mean square over the 60 training rows)")
