"""The scores between pairs of examples: density, density_same, density_signed, lof."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.neighbors import LocalOutlierFactor

from prune_kit import models
from prune_kit.data.dataset import Dataset, from_arrays
from prune_kit.errors import DataError, OptionError, RunError
from prune_kit.measures.neighbours import densities as densities_module
from prune_kit.measures.neighbours import outliers, representations
from prune_kit.measures.neighbours.densities import kernel_densities
from prune_kit.measures.neighbours.outliers import negative_outlier_factors
from prune_kit.pipeline import score
from prune_kit.runs.cache import RecordedRun, Request, RunInputs
from prune_kit.runs.recorder import complete
from prune_kit.scorers import Runs, _spaces, density, lof
from prune_kit.training import images as images_module
from prune_kit.training.images import normalisation
from tests.conftest import ONE_THREAD, TINY, shapes_data

EPOCH = 2
THREE = ["density", "density_same", "density_signed"]


def clusters(
    rows: int = 300, width: int = 20, classes: int = 4, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Points around random centres, far from the origin, each with the label of its centre but for
    a tenth."""
    chance = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes, (rows,), generator=chance)
    centres = 3 * torch.randn(classes, width, generator=chance) + 5
    points = centres[labels] + torch.randn(rows, width, generator=chance)
    labels[::10] = (labels[::10] + 1) % classes
    return points, labels


def all_distances(points: torch.Tensor) -> np.ndarray:
    """From the differences, in float64."""
    x = points.double()
    return torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist").numpy()


def by_definition(points: torch.Tensor, labels: torch.Tensor) -> np.ndarray:
    """Equations 5, 4 and 3, all pairs at once, in float64."""
    distance, y = all_distances(points), labels.numpy()
    h = distance[~np.eye(len(y), dtype=bool)].mean() / 2
    kernel = np.exp(-(distance**2) / h**2)
    same = y[:, None] == y[None]
    return np.stack([kernel.mean(1), (same * kernel).mean(1), (2 * (same - 0.5) * kernel).mean(1)])


def sklearn_factors(points: torch.Tensor, neighbours: int = 3) -> np.ndarray:
    factors: np.ndarray = (
        LocalOutlierFactor(n_neighbors=neighbours)
        .fit(points.double().numpy())
        .negative_outlier_factor_
    )
    return factors


def test_densities_equal_their_definition_over_all_pairs() -> None:
    points, labels = clusters()
    expected = by_definition(points, labels)
    found = kernel_densities(points, labels, block=64)
    np.testing.assert_allclose(found[:2], expected[:2], rtol=1e-5)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert expected[2].min() < 0 < expected[2].max()


def test_densities_of_points_far_apart_and_wide_are_as_exact() -> None:
    points, labels = clusters(rows=400, width=512)
    points[:7] *= 30  # a few far from all others, which move the mean
    np.testing.assert_allclose(
        kernel_densities(points, labels)[:2], by_definition(points, labels)[:2], rtol=1e-5
    )


@pytest.mark.parametrize("block", [1, 7, 30, 59, 1000])
@pytest.mark.parametrize("classes", [1, 3, 60])
def test_densities_do_not_depend_on_the_size_of_the_blocks(block: int, classes: int) -> None:
    points, labels = clusters(60, 3, classes)
    found = kernel_densities(points, labels, block=block)
    np.testing.assert_allclose(found, by_definition(points, labels), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "measure", [kernel_densities, lambda points, labels: negative_outlier_factors(points, 3)]
)
def test_rows_in_another_order_get_the_same_values_in_that_order(
    measure: Callable[[torch.Tensor, torch.Tensor], np.ndarray],
) -> None:
    points, labels = clusters()
    order = torch.randperm(len(points), generator=torch.Generator().manual_seed(1))
    found = measure(points[order], labels[order])
    np.testing.assert_allclose(
        found, measure(points, labels)[..., order.numpy()], rtol=1e-5, atol=1e-6
    )


def test_same_and_other_make_all_and_their_difference_is_signed() -> None:
    points, labels = clusters()
    total, same, signed = kernel_densities(points, labels)
    _, other, _ = kernel_densities(
        points, torch.arange(len(points))
    )  # only the row itself has its label
    np.testing.assert_allclose(other, 1 / len(points), rtol=1e-6)
    np.testing.assert_allclose(signed, same - (total - same), rtol=1e-12, atol=1e-15)
    assert (same >= 1 / len(points)).all() and (same <= total).all() and (total <= 1 + 1e-12).all()


def test_identical_rows_have_density_1_since_the_distance_0_needs_no_bandwidth() -> None:
    points = torch.tensor([[0.1, 0.7]]).repeat(5, 1)
    found = kernel_densities(points, torch.tensor([0, 0, 0, 1, 1]))
    np.testing.assert_allclose(found[0], 1)
    np.testing.assert_allclose(found[1], [0.6, 0.6, 0.6, 0.4, 0.4])
    np.testing.assert_allclose(found[2], [0.2, 0.2, 0.2, -0.2, -0.2])


@pytest.mark.parametrize("width", [2, 512])
def test_copies_are_at_distance_0_in_spite_of_rounding(width: int) -> None:
    two, _ = clusters(2, width)
    points, labels = two[torch.arange(200) % 2], torch.arange(200) % 3
    np.testing.assert_allclose(
        kernel_densities(points, labels)[:2], by_definition(points, labels)[:2], rtol=1e-5
    )
    one_apart = two[(torch.arange(200) == 7).long()]
    np.testing.assert_allclose(
        kernel_densities(one_apart, labels)[:2], by_definition(one_apart, labels)[:2], rtol=1e-5
    )


def test_a_tiny_example_by_hand() -> None:
    """Three points on a line at 0, 1 and 3: distances 1, 2, 3, their mean 2, so h = 1."""
    found = kernel_densities(torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([0, 1, 0]))
    near, middle, far = np.exp(-1), np.exp(-4), np.exp(-9)
    np.testing.assert_allclose(
        found[0] * 3, [1 + near + far, 1 + near + middle, 1 + middle + far], rtol=1e-6
    )
    np.testing.assert_allclose(found[1] * 3, [1 + far, 1, 1 + far], rtol=1e-6)
    np.testing.assert_allclose(
        found[2] * 3, [1 + far - near, 1 - near - middle, 1 + far - middle], rtol=1e-6
    )


def test_lof_equals_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    points, _ = clusters()
    np.testing.assert_allclose(
        negative_outlier_factors(points, 3), sklearn_factors(points), rtol=1e-9
    )
    np.testing.assert_allclose(
        negative_outlier_factors(points, 20), sklearn_factors(points, 20), rtol=1e-9
    )
    monkeypatch.setitem(outliers.BLOCK_BYTES, "cpu", 7 * 4 * len(points))
    np.testing.assert_allclose(
        negative_outlier_factors(points, 3), sklearn_factors(points), rtol=1e-9
    )


@pytest.mark.filterwarnings(
    "ignore:Duplicate values are leading to incorrect results"
)  # scikit-learn's opinion
def test_lof_of_ties_and_copies_equals_scikit_learn() -> None:
    """On a grid, where distances are exact: of rows at the same distance the first ones count in
    both."""
    grid = torch.cartesian_prod(torch.arange(6.0), torch.arange(5.0))
    chance = torch.Generator().manual_seed(0)
    points = torch.cat([grid, grid[::4], grid[:2], grid[:2]])[torch.randperm(42, generator=chance)]
    np.testing.assert_allclose(
        negative_outlier_factors(points, 3), sklearn_factors(points), rtol=1e-9
    )


def test_rows_with_many_copies_have_factor_minus_1_and_their_neighbours_a_huge_one() -> None:
    points = torch.tensor([[0.1, 0.2]] * 30 + [[1.0, 1.0]])
    found = negative_outlier_factors(points, 3)
    np.testing.assert_allclose(found[:30], -1)
    assert found[30] == pytest.approx(-1e10 * np.hypot(0.9, 0.8), rel=1e-6)
    np.testing.assert_allclose(negative_outlier_factors(points[:9], 3), -1)


def test_neighbours_that_float32_cannot_tell_apart_are_found_in_float64() -> None:
    """Two heaps whose distance is a million times their width: products in float32 see nothing but
    noise."""
    chance = torch.Generator().manual_seed(0)
    points = torch.rand(120, 6, generator=chance) / 128 + torch.arange(120)[:, None] % 2 * 4096.0
    points = torch.where(points > 4096, 4096 + ((points - 4096) * 2**11).round() / 2**11, points)
    every, centre = torch.arange(120), points - points.mean(0)
    _, _, sure = outliers._search(points, centre, every, 3)
    assert not sure.all()
    distances, _ = outliers._nearest(points, 3)
    np.testing.assert_allclose(distances, np.sort(all_distances(points))[:, 1:4], rtol=1e-9)


def test_lof_of_three_rows_is_refused() -> None:
    with pytest.raises(DataError, match="requires at least 4 rows, and the data has 3"):
        negative_outlier_factors(torch.rand(3, 2), 3)
    assert negative_outlier_factors(torch.rand(4, 2), 3).shape == (4,)


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


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """One entry for every pass over all pairs that is really made."""
    made: list[str] = []

    def counted(points: torch.Tensor, labels: torch.Tensor) -> np.ndarray:
        made.append("densities")
        return kernel_densities(points, labels)

    monkeypatch.setattr(densities_module, "kernel_densities", counted)
    yield made


def test_hidden_densities_are_those_of_the_penultimate_layer_of_the_training_rows(
    held_out: Dataset, runs: Runs
) -> None:
    training = held_out.rows.training
    mean, deviation = normalisation(held_out)
    images = torch.from_numpy(
        ((held_out.images[training] - mean) / deviation).transpose(0, 3, 1, 2)
    )
    found = density.score(held_out, runs, epoch=EPOCH, space="hidden")
    assert found.shape == (2, 90)
    assert np.isnan(np.delete(found, training, axis=1)).all()
    outliers = lof.score(held_out, runs, epoch=EPOCH, space="hidden")
    for r, run in enumerate(runs.recorded):
        with torch.no_grad():
            layer = models.penultimate(TINY.model, run.model(EPOCH).double().eval(), images)
        expected = by_definition(layer, torch.from_numpy(held_out.labels[training]))
        np.testing.assert_allclose(found[r, training], expected[0], rtol=1e-4)
        np.testing.assert_allclose(outliers[r, training], sklearn_factors(layer), rtol=1e-3)
    with pytest.raises(RunError, match="no weights of epoch 1"):
        density.score(held_out, runs, epoch=1, space="hidden")


def test_pixel_densities_are_those_of_the_normalised_images(held_out: Dataset, runs: Runs) -> None:
    training = held_out.rows.training
    mean, deviation = normalisation(held_out)
    points = torch.from_numpy((held_out.images[training] - mean) / deviation).flatten(1)
    found = density.score(held_out, runs, epoch=None, space="pixels")
    assert found.shape == (90,)
    expected = by_definition(points, torch.from_numpy(held_out.labels[training]))
    np.testing.assert_allclose(found[training], expected[0], rtol=1e-5)
    assert np.isnan(np.delete(found, training)).all()


def test_pixels_of_several_channels_and_blocks_lie_as_networks_get_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chance = np.random.default_rng(0)
    images = chance.integers(0, 256, (30, 4, 5, 3), dtype=np.uint8)
    data = from_arrays(images, np.arange(30) % 2, name="colours", spec="colours")
    mean, deviation = normalisation(data)
    expected = (
        ((images - mean) / deviation).transpose(0, 3, 1, 2).reshape(30, -1)[data.rows.training]
    )
    monkeypatch.setattr(images_module, "BLOCK", 7)
    np.testing.assert_allclose(
        representations.pixels(data, torch.device("cpu")), expected, rtol=1e-5, atol=1e-6
    )


def test_all_three_densities_share_one_pass_now_and_later(
    held_out: Dataset, passes: list[str], tmp_path: Path
) -> None:
    table = score(held_out, THREE, epoch=1, runs=2, config=TINY, jobs=1, workdir=tmp_path)
    assert list(table.columns) == ["density@1", "density_same@1", "density_signed@1"]
    assert len(passes) == 2
    assert table.columns["density_signed@1"].extras["per_run"].shape == (2, 90)
    score(held_out, "density_same", epoch=1, runs=2, config=TINY, jobs=1, workdir=tmp_path)
    assert len(passes) == 2
    total, same, signed = (table.columns[f"{name}@1"].values for name in THREE)
    np.testing.assert_allclose(signed, same - (total - same), atol=1e-6)


def test_pixels_train_nothing_and_their_columns_have_no_epoch(
    held_out: Dataset, passes: list[str], tmp_path: Path
) -> None:
    fresh = replace(held_out)  # nothing is kept of it yet
    table = score(fresh, [*THREE, "lof"], config=TINY, workdir=tmp_path, space="pixels")
    assert list(table.columns) == [*THREE, "lof"]
    assert not (tmp_path / "runs").exists()
    assert len(passes) == 1
    for column in table.columns.values():
        assert column.harder == "lower"
        assert column.parameters["space"] == "pixels"
        assert np.isnan(column.values[held_out.rows.role == 1]).all()
        assert np.isfinite(column.values[held_out.rows.training]).all()


def test_another_space_is_refused(held_out: Dataset, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"unknown `space` 'pixel'\. Did you mean 'pixels'"):
        score(held_out, "density", config=TINY, workdir=tmp_path, space="pixel")
    assert (_spaces.needs("pixels"), _spaces.needs("hidden")) == ("nothing", "checkpoint")
