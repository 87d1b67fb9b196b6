"""class_distance: how far an example lies from the median of its class.

Paper: Xia, Liu, Yu, Shen, Han, Liu 2023, https://openreview.net/forum?id=7D5EECbOaf9 (Moderate
coreset): the distance to the class centre in the penultimate layer. Its authors' code
(tmllab/2023_ICLR_Moderate-DS) takes the Euclidean distance to the coordinate-wise median, in one
trained network; here it is averaged over runs. Rule: moderate.
"""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Float64, Int

from prune_kit.data.dataset import Dataset
from prune_kit.scorers import Runs, _spaces

if TYPE_CHECKING:
    import torch

HIGHER_MEANS = "harder"
OPTIONS = {"space": "shared"}
needs = _spaces.needs


def score(
    data: Dataset, runs: Runs, *, epoch: int | None, space: str
) -> Float[np.ndarray, "R N"] | Float[np.ndarray, "N"]:
    """The Euclidean distance between an example and the median of the training rows of its label.

        s_i = || x_i - median_{j: y_j = y_i} x_j ||_2        at least 0

    The median is taken of each coordinate. Rows held out as test are not in it, and are NaN.
    Parameters and errors are those of `scorers.Scorer`; `space` is as in `density`.
    """
    return _spaces.measured(data, runs, _measure, name="class_distance", space=space, epoch=epoch)


def class_distances(
    points: Float[np.ndarray, "n D"], labels: Int[np.ndarray, "n"]
) -> Float64[np.ndarray, "n"]:
    """The distance of each row to the coordinate-wise median of the rows of its label.

    Parameters
    ----------
    points
        The representations (n, D).
    labels
        The label (n,) of each. Of an even number of rows the median is the mean of the middle two.
    """
    distances = np.empty(len(points))
    for label in np.unique(labels):
        members = points[labels == label]
        offsets = members.astype(np.float64) - np.median(members, axis=0)
        distances[labels == label] = np.linalg.norm(offsets, axis=1)
    return distances


def _measure(points: "torch.Tensor", labels: "torch.Tensor") -> np.ndarray:
    return class_distances(points.cpu().numpy(), labels.cpu().numpy())
