"""input_norm: the L2 norm of the normalised image, a baseline that a score must beat.

It needs no network. grand@0 is close to it (rank correlation 0.96 on CIFAR-10).
"""

import numpy as np
from jaxtyping import Float

from prune_kit.data.dataset import Dataset
from prune_kit.scorers import Runs

HIGHER_MEANS = "harder"
NEEDS = "nothing"
BLOCK = 4096


def score(data: Dataset, runs: Runs, *, epoch: int | None) -> Float[np.ndarray, "N"]:
    """The norm || x_i ||_2 of the image as networks receive it.

    Networks receive each channel minus its mean, divided by its standard deviation. Parameters are
    those of `scorers.Scorer`.
    """
    from prune_kit.training.images import normalisation

    mean, std = normalisation(data)
    blocks = []
    for start in range(0, len(data), BLOCK):
        inputs = (data.images[start : start + BLOCK] - mean) / std
        blocks.append(np.sqrt((inputs**2).sum(axis=(1, 2, 3))))
    return np.concatenate(blocks)
