"""consistency: the share of the networks that are right about an example after an epoch.

Paper: Hacohen and Weinshall 2019, "All Neural Networks are Created Equal",
https://arxiv.org/abs/1905.10854, section 2.
"""

import numpy as np
from jaxtyping import Float

from prune_kit.data.dataset import Dataset
from prune_kit.scorers import Runs

HIGHER_MEANS = "easier"
NEEDS = "sweep"


def score(data: Dataset, runs: Runs, *, epoch: int) -> Float[np.ndarray, "R N"]:
    """1 where a run is right and 0 where it is wrong, in eval mode and without augmentation.

        c_i = mean_r 1[argmax_c p_r(x_i)[c] = y_i]        in [0, 1], a multiple of 1 / R

    The mean of the column is the mean accuracy of the networks. Parameters and errors are those of
    `scorers.Scorer`.
    """
    return np.stack([run.sweep("correct", epoch) for run in runs.recorded]).astype(np.float64)


def score_test(data: Dataset, runs: Runs, *, epoch: int) -> Float[np.ndarray, "R M"]:
    """The same of the test examples.

    Parameters and errors are those of `scorers.ScorerExtras`.
    """
    return np.stack([run.test("correct", epoch) for run in runs.recorded]).astype(np.float64)
