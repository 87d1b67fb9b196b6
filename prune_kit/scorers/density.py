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
OPTIONS = {"space": "shared"}
needs = _spaces.needs


def score(
    data: Dataset, runs: Runs, *, epoch: int | None, space: str
) -> Float[np.ndarray, "R N"] | Float[np.ndarray, "N"]:
    """The mean kernel between an example and all N training examples, itself included.

        s_i = 1/N sum_j exp(-|| x_j - x_i ||^2 / h^2)        in [1/N, 1]

    h is half of the mean distance between two training examples. Rows held out as test are no x_j,
    and are NaN.

    Parameters
    ----------
    data, runs, epoch
        As `scorers.Scorer`.
    space
        What x is: "hidden", the penultimate layer of each run after `epoch`, or "pixels", the
        flattened image, normalised per channel (the paper says no more than raw pixels).

    Raises
    ------
    RunError
        If the weights after `epoch` were not kept.
    """
    return _densities.densities(data, runs, _densities.ALL, space=space, epoch=epoch)
