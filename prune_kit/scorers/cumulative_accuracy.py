"""cumulative_accuracy: the share of the epochs in which an example was right.

Paper: Jiang, Zhang, Talwar, Mozer 2021, https://arxiv.org/abs/2002.03206, section 5 (learning-speed
proxies). It is the CBTL of c-score-v1, as a mean.
"""

import numpy as np
from jaxtyping import Float

from prune_kit.data.dataset import Dataset
from prune_kit.scorers import Runs

HIGHER_MEANS = "easier"
NEEDS = "minibatches"


def score(data: Dataset, runs: Runs, *, epoch: int) -> Float[np.ndarray, "R N"]:
    """The mean of 1[argmax p = y] over epochs 1 .. `epoch` of each run.

        s_ri = mean_t 1[argmax_c p_rt(x_i)[c] = y_i]        in [0, 1]

    The mean is over the epochs in which the example was presented; NaN if it never was. Parameters
    and errors are those of `scorers.Scorer`.
    """
    shares = []
    for run in runs.recorded:
        correct = runs.over_epochs("correct", epoch, run)
        presented = (correct >= 0).sum(axis=0)
        shares.append(
            np.divide(
                (correct == 1).sum(axis=0),
                presented,
                out=np.full(len(presented), np.nan),
                where=presented > 0,
            )
        )
    return np.stack(shares)
