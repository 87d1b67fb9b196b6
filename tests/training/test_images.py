from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prune_kit.data.dataset import from_arrays
from prune_kit.randomness import generator
from prune_kit.training import images
from prune_kit.training.images import (
    Augmentation,
    draw_augmentation,
    normalisation,
    of_data,
    on_device,
)
from tests.conftest import shapes_data

CPU = torch.device("cpu")


def test_normalisation_is_the_mean_and_deviation_of_the_training_rows_alone() -> None:
    chance = np.random.default_rng(1)
    images = chance.integers(0, 256, (50, 5, 7, 3)).astype(np.uint8)
    data = from_arrays(images, np.arange(50) % 2, name="d", spec="d")
    training = images[data.rows.role == 0].astype(np.float64)
    mean, std = normalisation(data)
    np.testing.assert_allclose(mean, training.mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(std, training.std(axis=(0, 1, 2)), rtol=1e-9)


def test_a_constant_channel_is_divided_by_one() -> None:
    images = np.full((20, 4, 4), 7, dtype=np.uint8)
    images[:, 0, 0] = 7
    mean, std = normalisation(from_arrays(images, np.arange(20) % 2, name="d", spec="d"))
    assert (mean[0], std[0]) == (7, 1)


def test_a_batch_is_normalised_pixel_by_pixel() -> None:
    data = shapes_data()
    mean, std = normalisation(data)
    batch = on_device(data.images, mean, std, CPU).batch(torch.tensor([3, 0]))
    expected = (data.images[[3, 0]].astype(np.float64) - mean) / std
    np.testing.assert_allclose(batch.numpy(), expected.transpose(0, 3, 1, 2), rtol=1e-5, atol=1e-6)


@given(
    padding=st.integers(0, 3),
    height=st.integers(1, 6),
    width=st.integers(1, 6),
    channels=st.sampled_from([1, 3]),
    seed=st.integers(0, 2**32),
)
def test_augmentation_equals_padding_cropping_and_mirroring_one_image_at_a_time(
    padding: int, height: int, width: int, channels: int, seed: int
) -> None:
    images = (
        np.random.default_rng(seed).integers(0, 256, (9, height, width, channels)).astype(np.uint8)
    )
    augmentation = draw_augmentation(5, padding, True, generator(seed, "test"), CPU)
    rows = torch.tensor([8, 0, 3, 3, 1])
    pictures = on_device(images, np.zeros(channels), np.ones(channels), CPU)
    found = pictures.augmented(pictures.of(rows), augmentation).numpy()
    for position, row in enumerate(rows.tolist()):
        padded = np.pad(images[row], ((padding, padding), (padding, padding), (0, 0)))
        down, right = int(augmentation.down[position]), int(augmentation.right[position])
        crop = padded[down : down + height, right : right + width]
        if augmentation.mirror[position]:
            crop = crop[:, ::-1]
        np.testing.assert_array_equal(found[position], crop.transpose(2, 0, 1))


def test_draws_reach_every_shift_and_mirror_half_of_the_images() -> None:
    augmentation = draw_augmentation(4000, 2, True, generator(0, "test"), CPU)
    assert set(augmentation.down.tolist()) == set(augmentation.right.tolist()) == {0, 1, 2, 3, 4}
    assert augmentation.mirror.float().mean().item() == pytest.approx(0.5, abs=0.03)
    assert not draw_augmentation(4000, 2, False, generator(0, "test"), CPU).mirror.any()


def test_a_part_of_the_draws_is_that_part() -> None:
    augmentation = draw_augmentation(10, 1, True, generator(0, "test"), CPU)
    part = augmentation.part(2, 5)
    assert isinstance(part, Augmentation)
    assert part.down.tolist() == augmentation.down[2:5].tolist()


def test_read_only_images_are_taken_without_a_warning() -> None:
    images = np.zeros((3, 4, 4, 1), dtype=np.uint8)
    images.setflags(write=False)
    assert on_device(images, np.zeros(1), np.ones(1), CPU).pixels.shape == (3, 4, 4, 1)


def test_images_without_room_on_the_device_give_the_same_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = shapes_data()
    resident, _, _ = of_data(data, CPU)
    monkeypatch.setattr(images, "ROOM", 0)
    streamed, among, test_rows = of_data(data, CPU)
    assert (resident.streamed, streamed.streamed, among.streamed) == (False, True, True)
    rows = torch.randperm(77, generator=generator(0, "test"))
    bounds = [
        (start, min(start + 3, 77)) for start in range(0, 77, 3)
    ]  # more batches than are read ahead
    for one, other in zip(
        resident.batches(rows, bounds), streamed.batches(rows, bounds), strict=True
    ):
        assert torch.equal(one, other)
    assert torch.equal(among.of(test_rows), torch.from_numpy(data.test.images))
    assert list(streamed.batches(rows, [])) == []


@pytest.mark.skipif(not Path("/proc/self/smaps").is_file(), reason="reads /proc")
def test_of_a_mapped_file_without_room_no_more_is_read_than_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "images.npy"
    np.save(path, np.zeros((9, 64, 64, 1), dtype=np.uint8))
    mapped = np.load(path, mmap_mode="r")[:8]

    def advised() -> bool:
        _, _, about = Path("/proc/self/smaps").read_text().partition(str(path))
        return " rr" in about.partition("VmFlags:")[2].partition("\n")[0]  # random read

    on_device(mapped, np.zeros(1), np.ones(1), CPU)
    assert not advised()
    monkeypatch.setattr(images, "ROOM", 0)
    assert on_device(mapped, np.zeros(1), np.ones(1), CPU).streamed
    assert advised()


def test_an_image_that_cannot_be_read_ahead_is_told_where_its_batch_was_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = shapes_data()
    monkeypatch.setattr(images, "ROOM", 0)
    pictures, _, _ = of_data(data, CPU)

    def broken(*_: object) -> torch.Tensor:
        raise OSError("the disk is gone")

    monkeypatch.setattr(images, "_read", broken)
    with pytest.raises(OSError, match="the disk is gone"):
        next(pictures.batches(torch.arange(9), [(0, 9)]))


def test_rows_held_out_of_the_data_are_not_copied() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (50, 5, 5, 1)).astype(np.uint8)
    data = from_arrays(pixels, np.arange(50) % 2, name="d", spec="d")
    pictures, among, rows = of_data(data, CPU)
    assert among is pictures
    assert rows.tolist() == np.flatnonzero(data.rows.role == 1).tolist()
    assert data.test.pool is data.images
    np.testing.assert_array_equal(data.test.images, pixels[rows])
