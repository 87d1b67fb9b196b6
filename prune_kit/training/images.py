"""The images where the training is: uint8 on the device, normalised and augmented by the batch.

Images that the device has no room for stay in the memory of the host. Those that this has no room
for stay in their file. Then threads read batches ahead of the training, and copy them while it
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
READERS = 4  # threads that read
AHEAD = 8  # batches that are read, or being read, before they are asked for


@dataclass(frozen=True, eq=False)
class DeviceImages:
    """Images for a device, with the constants that normalise them.

    The constants are those of the full training set, whatever part of it is trained on.

    Parameters
    ----------
    pixels : uint8 (N, H, W, C), on the device unless they are `streamed`.
    mean, std : (C,) in grey values, on the device.
    streamed : whether the pixels stay where they are, and only batches come to the device.
    """

    pixels: torch.Tensor
    mean: torch.Tensor
    std: torch.Tensor
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
        """Yield the pixels of each (start, stop) of `rows`; streamed ones are read ahead."""
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
        """Subtract the mean and divide by the std: uint8 (B, H, W, C) to float (B, C, H, W)."""
        return pixels.to(self.mean.dtype).sub_(self.mean).div_(self.std).permute(0, 3, 1, 2)

    def prepared(self) -> "PreparedImages":
        """All images normalised now, for trainings that show each of them many times."""
        count, (height, width, channels) = len(self.pixels), self.pixels.shape[1:]
        images = torch.empty(
            count, channels, height, width, dtype=self.mean.dtype, device=self.device
        )
        for start in range(0, count, BLOCK):
            images[start : start + BLOCK] = self.batch(slice(start, start + BLOCK))
        return PreparedImages(images)

    def augmented(self, pixels: torch.Tensor, augmentation: "Augmentation") -> torch.Tensor:
        """Shift each image within a black border, mirror some, and normalise them.

        Parameters
        ----------
        pixels : uint8 (B, H, W, C).
        augmentation : that of these B images.

        Returns
        -------
        Float (B, C, H, W), as of `normalised`.
        """
        count, height, width, channels = pixels.shape
        padding = augmentation.padding
        if padding:
            pixels = functional.pad(pixels, (0, 0, padding, padding, padding, padding))
        steps_down = torch.arange(height, device=pixels.device)
        steps_right = torch.arange(width, device=pixels.device)
        lines = augmentation.down[:, None] + steps_down
        mirrored = torch.where(augmentation.mirror[:, None], steps_right.flip(0), steps_right)
        columns = augmentation.right[:, None] + mirrored
        _, high, wide, _ = pixels.shape
        first_lines = torch.arange(count, device=pixels.device)[:, None] * high
        places = ((first_lines + lines) * wide)[:, :, None] + columns[:, None, :]
        # three times as fast as pixels[...]
        chosen = pixels.reshape(-1, channels).index_select(0, places.flatten())
        return self.normalised(chosen.view(count, height, width, channels))


@dataclass(frozen=True, eq=False)
class PreparedImages:
    """Normalised images (N, C, H, W) on a device, four bytes a number."""

    images: torch.Tensor

    def batch(self, rows: torch.Tensor) -> torch.Tensor:
        """The images of `rows`."""
        return self.images.index_select(0, rows)


@dataclass(frozen=True, eq=False)
class Augmentation:
    """The augmentation of the B images of a batch, or of an epoch.

    Parameters
    ----------
    padding : the width of the black border, in pixels.
    down, right : int (B,) how far each image is shifted, in 0 .. 2 * padding.
    mirror : bool (B,) whether each is mirrored.
    """

    padding: int
    down: torch.Tensor
    right: torch.Tensor
    mirror: torch.Tensor

    def part(self, start: int, stop: int) -> "Augmentation":
        """The augmentation of the images from `start` to `stop`."""
        return Augmentation(
            self.padding, self.down[start:stop], self.right[start:stop], self.mirror[start:stop]
        )


def draw_augmentation(
    count: int, padding: int, flip: bool, rng: torch.Generator, device: torch.device
) -> Augmentation:
    """Draw the augmentation of `count` images: on the CPU, so that every device has the same.

    Parameters
    ----------
    count : how many images.
    padding : the width of the black border, in pixels; shifts are in 0 .. 2 * padding.
    flip : whether half of the images are mirrored; else none is.
    rng : what it is drawn from.
    device : where the result lies.
    """
    down, right = torch.randint(0, 2 * padding + 1, (2, count), generator=rng)
    mirror = torch.rand(count, generator=rng) < (0.5 if flip else 0.0)
    return Augmentation(padding, down.to(device), right.to(device), mirror.to(device))


def on_device(
    images: np.ndarray, mean: np.ndarray, std: np.ndarray, device: torch.device
) -> DeviceImages:
    """Lay images on the device, if they take at most half of its free memory; else stream them.

    On the CPU a memory-mapped array stays on the disk until a batch reads it.

    Parameters
    ----------
    images : uint8 (N, H, W, C).
    mean, std : (C,) in grey values.
    device : where batches are needed.
    """
    streamed = images.nbytes > ROOM * free_bytes(device)
    if streamed:
        _read_here_and_there(images)
    with warnings.catch_warnings():
        # nobody here writes to it
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        pixels = torch.from_numpy(images)
    return DeviceImages(
        pixels=pixels if streamed else pixels.to(device),
        mean=torch.tensor(mean, dtype=torch.float32, device=device),
        std=torch.tensor(std, dtype=torch.float32, device=device),
        streamed=streamed,
    )


def _read_here_and_there(images: np.ndarray) -> None:
    """Have the system read no more of a mapped file than is asked for.

    It would read on behind each row. Where memory is short it would drop that before its turn.
    """
    owner: object = images
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if isinstance(owner, mmap.mmap) and hasattr(mmap, "MADV_RANDOM"):
        owner.madvise(mmap.MADV_RANDOM)


def of_data(data: Dataset, device: torch.device) -> tuple[DeviceImages, DeviceImages, torch.Tensor]:
    """Lay the images of a data set where it is trained on.

    Returns
    -------
    The images; those among which the test examples are; and the rows (M,) of the test examples
    among these. Both are normalised by the constants of the training rows.
    """
    constants = normalisation(data)
    images = on_device(data.images, *constants, device)
    test_rows = torch.from_numpy(data.test.rows).to(device)
    if data.test.pool is data.images:
        return images, images, test_rows
    return images, on_device(data.test.pool, *constants, device), test_rows


def normalisation(data: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Give the mean and the standard deviation (C,) of each channel over the training rows.

    They are exact: made of the counts of the 256 values. A constant channel gets the deviation 1.
    """
    counts = np.zeros((data.shape[2], 256), dtype=np.int64)
    training = data.rows.training
    for start in range(0, len(training), BLOCK):
        block = data.images[training[start : start + BLOCK]]
        for channel, count in enumerate(counts):
            count += np.bincount(block[..., channel].ravel(), minlength=256)
    values, total = np.arange(256.0), counts[0].sum()
    mean = counts @ values / total
    std = np.sqrt(np.maximum(counts @ values**2 / total - mean**2, 0))
    return mean, np.where(std > 0, std, 1.0)


def _read(source: np.ndarray, rows: np.ndarray, pinned: bool) -> torch.Tensor:
    """Read some rows of the images. A GPU can copy from `pinned` memory while it computes.

    By numpy: torch would divide the work among as many threads as there are cores, however many
    the training may use.
    """
    pixels = torch.empty(len(rows), *source.shape[1:], dtype=torch.uint8, pin_memory=pinned)
    # without clip it would be buffered; rows are in range
    np.take(source, rows, axis=0, out=pixels.numpy(), mode="clip")
    return pixels
