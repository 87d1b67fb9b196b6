"""cumulative_pl: the probability of the given label, averaged over the epochs.

Paper: Jiang, Zhang, Talwar, Mozer 2021, https://arxiv.org/abs/2002.03206, section 5 (learning-speed
proxies).
"""

import numpy as np
from jaxtyping import Float

from prune_kit.data.dataset import Dataset
from prune_kit.scorers import Runs

HIGHER_MEANS = "easier"
NEEDS = "minibatches"
KEEPS_PROBABILITY = True


def score(data: Dataset, runs: Runs, *, epoch: int) -> Float[np.ndarray, "R N"]:
    """The mean of p[y] over epochs 1 .. `epoch` of each run.

        s_ri = mean_t p_rt(x_i)[y_i]        in [0, 1]

    The mean is over the epochs in which the example was presented; NaN if it never was. Parameters
    and errors are those of `scorers.Scorer`.
    """
    return runs.mean_over_epochs("p_label", epoch)
