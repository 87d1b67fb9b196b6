"""aum: the area under the margin: the logit of the label minus the largest other, over the epochs.

Paper: Pleiss, Zhang, Elenberg, Weinberger 2020, https://arxiv.org/abs/2001.10528, equation 1.
"""

import numpy as np
from jaxtyping import Float

from prune_kit.data.dataset import Dataset
from prune_kit.scorers import Runs

HIGHER_MEANS = "easier"
NEEDS = "minibatches"


def score(data: Dataset, runs: Runs, *, epoch: int) -> Float[np.ndarray, "R N"]:
    """The mean margin of the logits (not of probabilities) over epochs 1 .. `epoch` of each run.

        s_ri = mean_t (z_rt(x_i)[y_i] - max_{c != y_i} z_rt(x_i)[c])        of any size

    The mean is over the epochs in which the example was presented; NaN if it never was. Parameters
    and errors are those of `scorers.Scorer`.
    """
    return runs.mean_over_epochs("margin", epoch)
