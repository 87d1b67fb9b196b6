"""random: a random order, the baseline that every score must beat."""

import numpy as np
from jaxtyping import Float

from prune_kit.data.dataset import Dataset
from prune_kit.scorers import Runs

HIGHER_MEANS = "harder"
NEEDS = "nothing"


def score(data: Dataset, runs: Runs, *, epoch: int | None) -> Float[np.ndarray, "N"]:
    """Uniform numbers in [0, 1), drawn from the seed of `runs`.

    Parameters are those of `scorers.Scorer`. The epoch is not used.
    """
    return np.random.default_rng([runs.seed, 1]).random(len(data))
