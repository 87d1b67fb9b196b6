"""What density, density_same and density_signed share: one pass over all pairs gives all three."""

from typing import TYPE_CHECKING

import numpy as np

from prune_kit.data.dataset import Dataset
from prune_kit.scorers import Runs, _spaces

if TYPE_CHECKING:
    import torch

ALL, SAME, SIGNED = range(3)


def densities(
    data: Dataset, runs: Runs, which: int, *, space: str, epoch: int | None
) -> np.ndarray:
    """One of the three: (R, N) of the hidden layer, (N,) of pixels.

    Parameters
    ----------
    data, runs, epoch
        As `scorers.Scorer`.
    which
        ALL, SAME or SIGNED.
    space
        "pixels" or "hidden".
    """
    three = _spaces.measured(data, runs, _measure, name="density", space=space, epoch=epoch)
    return three[..., which, :]


def _measure(points: "torch.Tensor", labels: "torch.Tensor") -> np.ndarray:
    from prune_kit.measures.neighbours.densities import kernel_densities

    return kernel_densities(points, labels)
