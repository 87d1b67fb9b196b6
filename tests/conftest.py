"""Small data sets and trained runs that many tests share."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from prune_kit.data.dataset import Dataset, from_arrays
from prune_kit.protocol.config import TrainConfig
from prune_kit.protocol.execution import ResolvedExecution

# the machines that run the tests are shared and noisy: no test asserts a time
settings.register_profile("prune_kit", deadline=None)
settings.load_profile("prune_kit")

ONE_THREAD = ResolvedExecution(device="cpu", precision="fp32", threads=1)
TINY = TrainConfig(
    model="convnet", epochs=3, batch_size=16, learning_rate=0.05, schedule="constant"
)


def shapes_data(
    count: int = 77, test: int = 30, side: int = 8, classes: int = 3, seed: int = 0
) -> Dataset:
    """Noisy bright squares in one of `classes` corners: learnable in an epoch or two, not
    perfectly."""
    chance = np.random.default_rng(seed)

    def draw(number: int) -> tuple[np.ndarray, np.ndarray]:
        label = chance.integers(0, classes, number)
        images = chance.integers(0, 160, (number, side, side, 1))
        half = side // 2
        for image, corner in zip(images, label, strict=True):
            top, left = divmod(int(corner), 2)
            image[top * half : (top + 1) * half, left * half : (left + 1) * half] += 60
        return images.astype(np.uint8), label

    images, label = draw(count)
    test_images, test_label = draw(test)
    return from_arrays(
        images, label, name="shapes", spec="shapes", test_images=test_images, test_label=test_label
    )


@pytest.fixture(scope="session")
def shapes() -> Dataset:
    """77 training rows, which no batch size divides, and 30 test rows, of 3 classes."""
    return shapes_data()


@pytest.fixture
def runs_folder(tmp_path: Path) -> Path:
    """An empty run cache."""
    return tmp_path / "runs"


@contextmanager
def disk_of(count: int) -> Iterator[None]:
    """No file can grow beyond `count` bytes: what a full disk, or a quota, does to a program."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
