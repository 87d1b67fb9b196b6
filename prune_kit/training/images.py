"""The images where the training is: uint8 on the device, normalised and augmented a batch at a time.

Images that the device has no room for stay in the host's memory, and those that this has no room
for stay in their file; then batches are read ahead of the training, by threads, and copied while it
computes. The numbers are the same.
"""

import mmap
import warnings
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from prune_kit.data.dataset import Dataset
from prune_kit.training.out_of_memory import free_bytes

BLOCK = 4096
ROOM = 0.5  # of the free memory, that images may take up
READERS, AHEAD = (
    4,
    8,
)  # threads that read, and batches that are read or being read before they are asked for


@dataclass(frozen=True, eq=False)
class DeviceImages:
    """Images uint8 (N, H, W, C) for a device, with the constants (C,) that normalise them, in units of grey values.

    The constants lie on the device, and are those of the full training set, whatever part of it is
    trained on. The `pixels` lie there too, unless they are `streamed`.
    """

    pixels: torch.Tensor
    mean: torch.Tensor
    deviation: torch.Tensor
    streamed: bool = False

    @property
    def device(self) -> torch.device:
        """Where the batches are."""
        return self.mean.device

    def of(self, rows: torch.Tensor | slice) -> torch.Tensor:
        """The pixels of `rows`, uint8 (B, H, W, C), on the device."""
        if isinstance(rows, torch.Tensor):
            rows = rows.to(self.pixels.device)
        return self.pixels[rows].to(self.device)

    def batches(self, rows: torch.Tensor, bounds: list[tuple[int, int]]) -> Iterator[torch.Tensor]:
        """`of` for each (start, stop) of `rows`; where they are streamed, the next ones are read meanwhile."""
        if not self.streamed:
            for start, stop in bounds:
                yield self.of(rows[start:stop])
            return
        source, order = self.pixels.numpy(), rows.cpu().numpy()
        reading: deque[Future[torch.Tensor]] = deque()
        with ThreadPoolExecutor(READERS) as readers:
            for start, stop in bounds:
                reading.append(
                    readers.submit(_read, source, order[start:stop], self.device.type == "cuda")
                )
                if len(reading) == AHEAD:
                    yield reading.popleft().result().to(self.device, non_blocking=True)
            while reading:
                yield reading.popleft().result().to(self.device, non_blocking=True)

    def batch(self, rows: torch.Tensor | slice) -> torch.Tensor:
        """The normalised images of `rows`, float32 (B, C, H, W) in channels-last memory."""
        return self.normalised(self.of(rows))

    def normalised(self, pixels: torch.Tensor) -> torch.Tensor:
        """uint8 (B, H, W, C) to (B, C, H, W) in the constants' type: the mean subtracted, divided by the deviation."""
        return pixels.to(self.mean.dtype).sub_(self.mean).div_(self.deviation).permute(0, 3, 1, 2)

    def prepared(self) -> "PreparedImages":
        """All images normalised now, for trainings that show each of them many times."""
        count, (height, width, channels) = len(self.pixels), self.pixels.shape[1:]
        images = torch.empty(
            count, channels, height, width, dtype=self.mean.dtype, device=self.device
        )
        for start in range(0, count, BLOCK):
            images[start : start + BLOCK] = self.batch(slice(start, start + BLOCK))
        return PreparedImages(images)

    def augmented(self, pixels: torch.Tensor, draws: "Draws") -> torch.Tensor:
        """As `normalised`, each image shifted within its black border and perhaps mirrored, as `draws` says."""
        count, height, width, channels = pixels.shape
        padding = draws.padding
        if padding:
            pixels = functional.pad(pixels, (0, 0, padding, padding, padding, padding))
        steps_down = torch.arange(height, device=pixels.device)
        steps_right = torch.arange(width, device=pixels.device)
        lines = draws.down[:, None] + steps_down
        mirrored = torch.where(draws.mirror[:, None], steps_right.flip(0), steps_right)
        columns = draws.right[:, None] + mirrored
        _, high, wide, _ = pixels.shape
        first = (
            torch.arange(count, device=pixels.device)[:, None] * high
        )  # the first line of each image
        places = ((first + lines) * wide)[:, :, None] + columns[:, None, :]
        chosen = pixels.reshape(-1, channels).index_select(
            0, places.flatten()
        )  # three times as fast as pixels[...]
        return self.normalised(chosen.view(count, height, width, channels))


@dataclass(frozen=True, eq=False)
class PreparedImages:
    """Normalised images (N, C, H, W) on a device, four bytes a number."""

    images: torch.Tensor

    def batch(self, rows: torch.Tensor) -> torch.Tensor:
        """The images of `rows`."""
        return self.images.index_select(0, rows)


@dataclass(frozen=True, eq=False)
class Draws:
    """The augmentation of a batch, or of an epoch: shifts (B,) in 0 .. 2 * padding, and who is mirrored (B,)."""

    padding: int
    down: torch.Tensor
    right: torch.Tensor
    mirror: torch.Tensor

    def part(self, start: int, stop: int) -> "Draws":
        """The draws of one batch."""
        return Draws(
            self.padding, self.down[start:stop], self.right[start:stop], self.mirror[start:stop]
        )


def draw(
    count: int, padding: int, flip: bool, chance: torch.Generator, device: torch.device
) -> Draws:
    """Draw the augmentation of `count` images, on the CPU so that it is the same on every device."""
    down, right = torch.randint(0, 2 * padding + 1, (2, count), generator=chance)
    mirror = torch.rand(count, generator=chance) < (0.5 if flip else 0.0)
    return Draws(padding, down.to(device), right.to(device), mirror.to(device))


def on_device(
    images: np.ndarray, mean: np.ndarray, deviation: np.ndarray, device: torch.device
) -> DeviceImages:
    """Lay images on the device, if they take at most half of its free memory; else they will be streamed.

    On the CPU a memory-mapped array stays on the disk until a batch reads it.
    """
    streamed = images.nbytes > ROOM * free_bytes(device)
    if streamed:
        _read_here_and_there(images)
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "The given NumPy array is not writable"
        )  # nobody here writes to it
        pixels = torch.from_numpy(images)
    return DeviceImages(
        pixels=pixels if streamed else pixels.to(device),
        mean=torch.tensor(mean, dtype=torch.float32, device=device),
        deviation=torch.tensor(deviation, dtype=torch.float32, device=device),
        streamed=streamed,
    )


def _read_here_and_there(images: np.ndarray) -> None:
    """Where the images are mapped from a file, have the system read no more of it than is asked for.

    It would read on behind each row, and drop that again before its turn comes where memory is
    short.
    """
    owner: object = images
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if isinstance(owner, mmap.mmap) and hasattr(mmap, "MADV_RANDOM"):
        owner.madvise(mmap.MADV_RANDOM)


def of_data(data: Dataset, device: torch.device) -> tuple[DeviceImages, DeviceImages, torch.Tensor]:
    """The images, the images among which the test examples are, and the rows (M,) of these, all for the device.

    Both are normalised by the constants of the training rows.
    """
    constants = normalisation(data)
    pictures = on_device(data.images, *constants, device)
    pool, rows = data.test.pool, torch.from_numpy(data.test.rows).to(device)
    return pictures, pictures if pool is data.images else on_device(pool, *constants, device), rows


def normalisation(data: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (C,) per channel over the training rows, exact, from the counts of the 256 values.

    A channel that is constant gets deviation 1.
    """
    counts = np.zeros((data.shape[2], 256), dtype=np.int64)
    training = data.rows.training
    for start in range(0, len(training), BLOCK):
        block = data.images[training[start : start + BLOCK]]
        for channel, count in enumerate(counts):
            count += np.bincount(block[..., channel].ravel(), minlength=256)
    values, total = np.arange(256.0), counts[0].sum()
    mean = counts @ values / total
    deviation = np.sqrt(np.maximum(counts @ values**2 / total - mean**2, 0))
    return mean, np.where(deviation > 0, deviation, 1.0)


def _read(source: np.ndarray, rows: np.ndarray, pinned: bool) -> torch.Tensor:
    """Some rows of the images, in memory that a GPU can copy from while it computes, where it is `pinned`.

    By numpy: torch would divide the work among as many threads as there are cores, whatever the
    training was told.
    """
    pixels = torch.empty(len(rows), *source.shape[1:], dtype=torch.uint8, pin_memory=pinned)
    np.take(
        source, rows, axis=0, out=pixels.numpy(), mode="clip"
    )  # without clip it would be buffered; rows are in range
    return pixels
