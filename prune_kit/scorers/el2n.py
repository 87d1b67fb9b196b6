"""el2n: the error vector's norm, how far the predicted probabilities are from the given label.

Paper: Paul, Ganguli, Dziugaite 2021, https://arxiv.org/abs/2107.07075, definition 2.3.
"""

import numpy as np
from jaxtyping import Float

from prune_kit.data.dataset import Dataset
from prune_kit.scorers import Runs

HIGHER_MEANS = "harder"
NEEDS = "sweep"


def score(data: Dataset, runs: Runs, *, epoch: int) -> Float[np.ndarray, "R N"]:
    """The L2 error of the softmax of each run, unsquared, in eval mode and without augmentation.

        s_ri = || p_r(x_i) - onehot(y_i) ||_2        in [0, sqrt(2)]

    Parameters and errors are those of `scorers.Scorer`.
    """
    return np.stack([run.sweep("l2_error", epoch) for run in runs.recorded])
