"""lof: minus the local outlier factor, low where an example is more isolated than its neighbours.

Paper: Jiang, Zhang, Talwar, Mozer 2021, https://arxiv.org/abs/2002.03206, section 4.1 and appendix
A (k = 3); the factor is that of Breunig, Kriegel, Ng, Sander 2000,
https://doi.org/10.1145/335191.335388.
"""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from prune_kit.data.dataset import Dataset
from prune_kit.scorers import Runs, _spaces

if TYPE_CHECKING:
    import torch

HIGHER_MEANS = "easier"
OPTIONS = {"space": "shared"}
NEIGHBOURS = 3
needs = _spaces.needs


def score(
    data: Dataset, runs: Runs, *, epoch: int | None, space: str
) -> Float[np.ndarray, "R N"] | Float[np.ndarray, "N"]:
    """Minus the local outlier factor among the 3 nearest training examples.

    It is about -1 for most examples and lower for outliers. It does not look at labels. Where an
    example has three copies or more, these score -1, and an example whose neighbours they are can
    score as low as -1e10 times its distance. Rows held out as test are NaN.

    Parameters
    ----------
    data, runs, epoch
        As `scorers.Scorer`.
    space
        As in `density`.

    Raises
    ------
    DataError
        If there are fewer than four training examples.
    RunError
        If the weights after `epoch` were not kept.
    """
    return _spaces.measured(data, runs, _measure, name="lof", space=space, epoch=epoch)


def _measure(points: "torch.Tensor", labels: "torch.Tensor") -> np.ndarray:
    from prune_kit.measures.neighbours.outliers import negative_outlier_factors

    return negative_outlier_factors(points, NEIGHBOURS)
