"""density_signed: how many more examples of the same label than of other labels lie near.

Paper: Jiang, Zhang, Talwar, Mozer 2021, https://arxiv.org/abs/2002.03206, section 4.1 and equation
3. On the hidden layer it was the best of the paper's four measures between pairs.
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
    """As `density`, with a minus for examples of other labels.

        s_i = 1/N sum_j 2 (1[y_j = y_i] - 1/2) exp(-|| x_j - x_i ||^2 / h^2)        above -1, to 1

    It is below 0 where other labels prevail. h is half of the mean distance between any two
    training examples. Parameters and errors are those of `density`.
    """
    return _densities.densities(data, runs, _densities.SIGNED, space=space, epoch=epoch)
