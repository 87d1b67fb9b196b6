"""density: how many other examples lie near, whatever their labels.

Paper: Jiang, Zhang, Talwar, Mozer 2021, https://arxiv.org/abs/2002.03206, section 4.1 and equation
5. There it goes with the C-score on the hidden layer, less than the densities that know the labels,
and not at all on pixels (rank correlation -0.06 on CIFAR-10).
"""

import numpy as np
from jaxtyping import Float

from prune_kit.data.dataset import Dataset
from prune_kit.scorers import Runs, _densities, _spaces

HIGHER_MEANS = "easier"
OPTIONS = {"space": "hidden"}
check_options, needs = _spaces.check_options, _spaces.needs


def score(
    data: Dataset, runs: Runs, *, epoch: int | None, space: str
) -> Float[np.ndarray, "R N"] | Float[np.ndarray, "N"]:
    """The mean kernel between an example and all N training examples, itself included.

        s_i = 1/N sum_j exp(-|| x_j - x_i ||^2 / h^2)        in [1/N, 1]

    h is half of the mean distance between two training examples. `space` says what x is: "hidden",
    the penultimate layer of each run after `epoch`, or "pixels", the flattened image, normalised
    per channel (the paper says no more than raw pixels). NaN for rows held out as test, which are
    no x_j either. Raises RunError if `epoch` was not kept.
    """
    return _densities.densities(data, runs, _densities.ALL, space=space, epoch=epoch)
