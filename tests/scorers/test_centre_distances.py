"""The scores that measure from a centre: class_distance and prototype_distance."""

import statistics
from pathlib import Path

import numpy as np
import pytest
import torch

from prune_kit import models, pipeline
from prune_kit.data.dataset import Dataset, from_arrays
from prune_kit.errors import OptionError, RunError
from prune_kit.runs.cache import RecordedRun, Request, RunInputs
from prune_kit.runs.recorder import complete
from prune_kit.scorers import Runs, class_distance, prototype_distance
from prune_kit.scorers.class_distance import class_distances
from prune_kit.scorers.prototype_distance import prototype_distances
from prune_kit.training.images import normalisation
from tests.conftest import ONE_THREAD, TINY, shapes_data

EPOCH = 2


def heaps(rows: int = 90, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Points in three heaps in three directions, far apart, at different lengths.

    And the heap of each.
    """
    chance = np.random.default_rng(seed)
    heap = np.arange(rows) % 3
    points = (np.eye(3)[heap] * 5 + chance.normal(0, 0.3, (rows, 3))) * chance.uniform(
        0.5, 2, (rows, 1)
    )
    return points, heap


def median_distances(points: np.ndarray, labels: np.ndarray) -> list[float]:
    """One row after the other, one coordinate after the other."""
    found = []
    for point, label in zip(points, labels, strict=True):
        own = [list(other) for other, its in zip(points, labels, strict=True) if its == label]
        centre = [
            statistics.median(float(other[d]) for other in own) for d in range(points.shape[1])
        ]
        found.append(sum((float(a) - b) ** 2 for a, b in zip(point, centre, strict=True)) ** 0.5)
    return found


def cosine_distances(points: np.ndarray, heap: np.ndarray) -> np.ndarray:
    """To the mean direction of the own heap, or another one where that is nearer."""
    directions = [point / sum(point**2) ** 0.5 for point in points]
    means = [sum(d for d, its in zip(directions, heap, strict=True) if its == k) for k in range(3)]
    return np.array([min(1 - d @ m / sum(m**2) ** 0.5 for m in means) for d in directions])


# class_distance


@pytest.mark.parametrize("rows", [90, 91])
def test_class_distances_equal_their_definition_one_row_at_a_time(rows: int) -> None:
    points, _ = heaps(rows)
    labels = np.random.default_rng(1).integers(0, 4, rows)
    np.testing.assert_allclose(
        class_distances(points, labels), median_distances(points, labels), rtol=1e-12
    )


def test_a_class_with_one_row_is_at_its_own_median() -> None:
    assert class_distances(
        np.array([[1.0, 2.0], [5.0, 5.0], [5.0, 7.0]]), np.array([3, 0, 0])
    ).tolist() == [0, 1, 1]


def test_one_far_row_does_not_move_the_centre() -> None:
    points = np.array([[0.0], [1.0], [2.0], [1.0], [1e6]])
    assert class_distances(points, np.zeros(5, int)).tolist() == [1, 0, 1, 0, 1e6 - 1]


# prototype_distance


def test_prototype_distances_of_clear_heaps_are_those_to_their_mean_directions() -> None:
    points, heap = heaps()
    np.testing.assert_allclose(
        prototype_distances(points, clusters=3, seed=0), cosine_distances(points, heap), rtol=1e-9
    )


def test_prototype_distances_do_not_depend_on_lengths_and_barely_on_the_order() -> None:
    points, _ = heaps()
    found = prototype_distances(points, clusters=3, seed=0)
    np.testing.assert_allclose(
        prototype_distances(points * 7, clusters=3, seed=0), found, atol=1e-12
    )
    order = np.random.default_rng(0).permutation(len(points))
    np.testing.assert_allclose(
        prototype_distances(points[order], clusters=3, seed=0), found[order], atol=1e-12
    )


def test_the_same_seed_gives_the_same_bits_and_another_may_find_other_prototypes() -> None:
    points = np.random.default_rng(0).normal(size=(200, 5))
    first = prototype_distances(points, clusters=8, seed=1)
    np.testing.assert_array_equal(prototype_distances(points, clusters=8, seed=1), first)
    assert (prototype_distances(points, clusters=8, seed=2) != first).any()
    assert ((first >= -1e-12) & (first <= 2)).all()


def test_copies_fewer_than_clusters_lie_on_their_prototypes_and_zeros_at_1() -> None:
    copies = np.array([[1.0, 0.0], [0.0, 1.0]])[np.arange(10) % 2]
    np.testing.assert_allclose(prototype_distances(copies, clusters=5, seed=0), 0, atol=1e-12)
    zeros = np.zeros((4, 2))
    np.testing.assert_array_equal(prototype_distances(zeros, clusters=1, seed=0), 1)


# both, of networks


@pytest.fixture(scope="module")
def held_out() -> Dataset:
    """Shapes without a test set of their own: a fifth of the rows plays it."""
    data = shapes_data(count=90)
    return from_arrays(data.images, data.labels, name="shapes", spec="shapes")


@pytest.fixture(scope="module")
def runs(held_out: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    folder, recorded = tmp_path_factory.mktemp("cache"), []
    for seed in (0, 1):
        inputs = RunInputs(held_out, TINY, seed, ONE_THREAD)
        complete(inputs, Request(EPOCH, weights=frozenset({EPOCH})), folder, lambda *_: None)
        recorded.append(RecordedRun(inputs, folder / inputs.key))
    return Runs(tuple(recorded), 0, ONE_THREAD)


def normalised(data: Dataset) -> np.ndarray:
    mean, deviation = normalisation(data)
    return ((data.images[data.rows.training] - mean) / deviation).transpose(0, 3, 1, 2)


def test_hidden_distances_are_those_in_the_penultimate_layer_of_the_training_rows(
    held_out: Dataset, runs: Runs
) -> None:
    training = held_out.rows.training
    images, labels = torch.from_numpy(normalised(held_out)), held_out.labels[training]
    of_class = class_distance.score(held_out, runs, epoch=EPOCH, space="hidden")
    of_prototype = prototype_distance.score(
        held_out, runs, epoch=EPOCH, space="hidden", clusters=None
    )
    for r, run in enumerate(runs.recorded):
        with torch.no_grad():
            layer = models.penultimate(TINY.model, run.model(EPOCH).double().eval(), images).numpy()
        np.testing.assert_allclose(
            of_class[r, training], median_distances(layer, labels), rtol=1e-3, atol=1e-5
        )
        expected = prototype_distances(layer, clusters=3, seed=0)
        np.testing.assert_allclose(of_prototype[r, training], expected, rtol=1e-3, atol=1e-5)
    for found in (of_class, of_prototype):
        assert found.shape == (2, 90)
        assert np.isnan(np.delete(found, training, axis=1)).all()
    with pytest.raises(RunError, match="no weights of epoch 1"):
        class_distance.score(held_out, runs, epoch=1, space="hidden")


def test_pixels_need_no_network_and_no_epoch(held_out: Dataset, tmp_path: Path) -> None:
    table = pipeline.score(
        held_out,
        "class_distance,prototype_distance",
        config=TINY,
        workdir=tmp_path,
        space="pixels",
        clusters=4,
    )
    assert list(table.columns) == ["class_distance", "prototype_distance"]
    assert not (tmp_path / "runs").exists()
    training = held_out.rows.training
    points = normalised(held_out).reshape(len(training), -1)
    expected = median_distances(points, held_out.labels[training])
    np.testing.assert_allclose(
        table.columns["class_distance"].values[training], expected, rtol=1e-5
    )
    column = table.columns["prototype_distance"]
    np.testing.assert_allclose(
        column.values[training],
        prototype_distances(points, clusters=4, seed=0),
        rtol=1e-4,
        atol=1e-6,
    )
    assert (column.parameters["clusters"], column.harder) == (4, "higher")


def test_both_are_averaged_over_runs_and_their_rules_select_by_them(
    held_out: Dataset, tmp_path: Path
) -> None:
    options = {"epoch": 1, "runs": 2, "config": TINY, "jobs": 1, "workdir": tmp_path}
    table = pipeline.score(held_out, "class_distance,prototype_distance", **options)
    for name in ("class_distance@1", "prototype_distance@1"):
        column = table.columns[name]
        np.testing.assert_allclose(column.values, column.extras["per_run"].mean(0), rtol=1e-6)
    moderate = pipeline.select(table, rule="moderate", by="class_distance@1", keep=0.5)
    shares = moderate.class_shares()
    assert ((shares > 0.45) & (shares < 0.55)).all()
    assert (
        len(pipeline.select(table, rule="prototypes", by="prototype_distance@1", keep=0.5).index)
        == 36
    )


def test_clusters_out_of_range_are_refused(held_out: Dataset, runs: Runs, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="clusters=0 is out of range; at least 1"):
        pipeline.score(held_out, "prototype_distance", config=TINY, workdir=tmp_path, clusters=0)
    with pytest.raises(
        OptionError, match="clusters=73 is out of range; the data has 72 training rows"
    ):
        prototype_distance.score(held_out, runs, epoch=EPOCH, space="hidden", clusters=73)
    with pytest.raises(OptionError, match="`clusters` is for method='prototype_distance'"):
        pipeline.score(held_out, "el2n", config=TINY, workdir=tmp_path, clusters=4)
