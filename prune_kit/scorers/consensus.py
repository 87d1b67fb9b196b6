"""consensus: the largest share of the networks that agree on a label, right or wrong.

Paper: Hacohen and Weinshall 2019, "All Neural Networks are Created Equal",
https://arxiv.org/abs/1905.10854, section 2.
"""

import numpy as np
from jaxtyping import Float, Int

from prune_kit.data.dataset import Dataset
from prune_kit.scorers import Runs

HIGHER_MEANS = "easier"
NEEDS = "sweep"


def score(data: Dataset, runs: Runs, *, epoch: int) -> Float[np.ndarray, "N"]:
    """How far the networks agree. No run has a value of its own, so nothing is kept per run.

        s_i = max_k mean_r 1[argmax_c p_r(x_i)[c] = k]        in [1 / R, 1], a multiple of 1 / R

    It does not look at the given label. Parameters and errors are those of `scorers.Scorer`.
    """
    return largest_share(np.stack([run.sweep("predicted", epoch) for run in runs.recorded]))


def score_test(data: Dataset, runs: Runs, *, epoch: int) -> Float[np.ndarray, "M"]:
    """The same of the test examples.

    Parameters and errors are those of `scorers.ScorerExtras`.
    """
    return largest_share(np.stack([run.test("predicted", epoch) for run in runs.recorded]))


def largest_share(predicted: Int[np.ndarray, "R N"]) -> Float[np.ndarray, "N"]:
    """The share of the most frequent label in each column."""
    # the label of the largest group is some run's label, so that R comparisons do, however many
    # classes there are
    agreeing = np.max([(predicted == one).sum(axis=0) for one in predicted], axis=0)
    share: np.ndarray = agreeing / len(predicted)
    return share
