"""density_same: how many other examples of the same label lie near.

Paper: Jiang, Zhang, Talwar, Mozer 2021, https://arxiv.org/abs/2002.03206, section 4.1 and equation
4.
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
    """As `density`, summed over the examples of the same label only, and still divided by all N.

        s_i = 1/N sum_j 1[y_j = y_i] exp(-|| x_j - x_i ||^2 / h^2)        in [1/N, 1]

    So an example of a small class scores low. h is half of the mean distance between any two
    training examples. Parameters and errors are those of `density`.
    """
    return _densities.densities(data, runs, _densities.SAME, space=space, epoch=epoch)
