"""The images where the training is: uint8 on the device, normalised and augmented a batch at a time."""

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from prune_kit.data.dataset import Dataset

BLOCK = 4096


@dataclass(frozen=True, eq=False)
class DeviceImages:
    """Images uint8 (N, H, W, C) on a device, with the constants (C,) that normalise them, in units of grey values.

    The constants are those of the full training set, whatever part of it is trained on.
    """

    pixels: torch.Tensor
    mean: torch.Tensor
    deviation: torch.Tensor

    def batch(self, rows: torch.Tensor | slice) -> torch.Tensor:
        """The normalised images of `rows`, float32 (B, C, H, W) in channels-last memory."""
        return self.normalised(self.pixels[rows])

    def normalised(self, pixels: torch.Tensor) -> torch.Tensor:
        """uint8 (B, H, W, C) to (B, C, H, W) in the constants' type: the mean subtracted, divided by the deviation."""
        return pixels.to(self.mean.dtype).sub_(self.mean).div_(self.deviation).permute(0, 3, 1, 2)

    def prepared(self) -> "PreparedImages":
        """All images normalised now, for trainings that show each of them many times."""
        count, (height, width, channels) = len(self.pixels), self.pixels.shape[1:]
        images = torch.empty(count, channels, height, width, dtype=self.mean.dtype, device=self.pixels.device)
        for start in range(0, count, BLOCK):
            images[start : start + BLOCK] = self.batch(slice(start, start + BLOCK))
        return PreparedImages(images)

    def augmented_batch(self, rows: torch.Tensor, draws: "Draws") -> torch.Tensor:
        """As `batch`, each image shifted within its black border and perhaps mirrored, as `draws` says."""
        pixels = self.pixels[rows]
        _, height, width, _ = pixels.shape
        padding = draws.padding
        if padding:
            pixels = functional.pad(pixels, (0, 0, padding, padding, padding, padding))
        steps_down = torch.arange(height, device=pixels.device)
        steps_right = torch.arange(width, device=pixels.device)
        lines = draws.down[:, None] + steps_down
        mirrored = torch.where(draws.mirror[:, None], steps_right.flip(0), steps_right)
        columns = draws.right[:, None] + mirrored
        images = torch.arange(len(rows), device=pixels.device)
        return self.normalised(pixels[images[:, None, None], lines[:, :, None], columns[:, None, :]])


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
        return Draws(self.padding, self.down[start:stop], self.right[start:stop], self.mirror[start:stop])


def draw(count: int, padding: int, flip: bool, chance: torch.Generator, device: torch.device) -> Draws:
    """Draw the augmentation of `count` images, on the CPU so that it is the same on every device."""
    down, right = torch.randint(0, 2 * padding + 1, (2, count), generator=chance)
    mirror = torch.rand(count, generator=chance) < (0.5 if flip else 0.0)
    return Draws(padding, down.to(device), right.to(device), mirror.to(device))


def on_device(images: np.ndarray, mean: np.ndarray, deviation: np.ndarray, device: torch.device) -> DeviceImages:
    """Lay images on the device. On the CPU a memory-mapped array stays on the disk until a batch reads it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")  # nobody here writes to it
        pixels = torch.from_numpy(images).to(device)
    return DeviceImages(pixels, *(torch.tensor(c, dtype=torch.float32, device=device) for c in (mean, deviation)))


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
