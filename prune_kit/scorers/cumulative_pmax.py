"""cumulative_pmax: the largest probability, averaged over the epochs, whatever the label.

Paper: Jiang, Zhang, Talwar, Mozer 2021, https://arxiv.org/abs/2002.03206, section 5 (learning-speed
proxies).
"""

import numpy as np
from jaxtyping import Float

from prune_kit.data.dataset import Dataset
from prune_kit.scorers import Runs

HIGHER_MEANS = "easier"
NEEDS = "minibatches"


def score(data: Dataset, runs: Runs, *, epoch: int) -> Float[np.ndarray, "R N"]:
    """The mean of max p over epochs 1 .. `epoch` of each run.

        s_ri = mean_t max_c p_rt(x_i)[c]        in [1 / C, 1]

    The mean is over the epochs in which the example was presented; NaN if it never was. Parameters
    and errors are those of `scorers.Scorer`.
    """
    return runs.mean_over_epochs("p_max", epoch)
