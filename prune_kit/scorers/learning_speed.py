"""learning_speed: the consistency of an example, averaged over the epochs.

Paper: Hacohen and Weinshall 2019, "All Neural Networks are Created Equal",
https://arxiv.org/abs/1905.10854, section 4.1. It is high for what many networks learn soon. It is
measured in clean passes; `cumulative_accuracy` is the same in the training minibatches, which are
free.
"""

import numpy as np
from jaxtyping import Float

from prune_kit.data.dataset import Dataset
from prune_kit.scorers import Runs

HIGHER_MEANS = "easier"
NEEDS = "every sweep"


def score(data: Dataset, runs: Runs, *, epoch: int) -> Float[np.ndarray, "R N"]:
    """The share of the epochs 1 .. `epoch` after which each run is right.

        s_ri = mean_t 1[argmax_c p_rt(x_i)[c] = y_i]        in [0, 1]

    In eval mode and without augmentation. The mean over the runs is the mean of consistency@1 ..
    consistency@`epoch`. Parameters and errors are those of `scorers.Scorer`.
    """
    return np.stack([run.sweeps("correct", epoch).mean(axis=0) for run in runs.recorded])


def score_test(data: Dataset, runs: Runs, *, epoch: int) -> Float[np.ndarray, "R M"]:
    """The same of the test examples.

    Parameters and errors are those of `scorers.ScorerExtras`.
    """
    epochs = range(1, epoch + 1)
    return np.stack(
        [np.mean([run.test("correct", t) for t in epochs], axis=0) for run in runs.recorded]
    )
