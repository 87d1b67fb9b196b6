"""prototype_distance: how far an example lies from the nearest prototype, a centroid of k-means.

Paper: Sorscher, Geirhos, Shekhar, Ganguli, Morcos 2022, https://arxiv.org/abs/2206.14486, section
5. k-means knows no labels. There the space is that of a network trained without labels (SWaV on
ImageNet); here it is the penultimate layer of each run. Rule: prototypes.
"""

import warnings
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Float64

from prune_kit.data.dataset import Dataset
from prune_kit.errors import OptionError
from prune_kit.scorers import Runs, _spaces

if TYPE_CHECKING:
    import torch

HIGHER_MEANS = "harder"
OPTIONS = {
    "space": "shared",
    "clusters": {
        "type": "int",
        "minimum": 1,
        "metavar": "K",
        "help": "Number of centroids (default: as many as classes).",
    },
}
STARTS = 3  # k-means is kept from the best of so many starts


def needs(space: str, clusters: int | None) -> str:
    """What the space needs, see `_spaces.needs`."""
    return _spaces.needs(space)


def score(
    data: Dataset, runs: Runs, *, epoch: int | None, space: str, clusters: int | None
) -> Float[np.ndarray, "R N"] | Float[np.ndarray, "N"]:
    """The cosine distance between an example and the nearest centroid.

        s_i = min_k 1 - cos(x_i, c_k)        in [0, 2]

    The c_k are the centroids of k-means over the training rows, each scaled to length 1, so that
    the size of a representation counts for nothing. The scaling is our choice; the paper's distance
    is that to the nearest centroid. k-means starts from the first run's seed. Rows held out as test
    are NaN.

    Parameters
    ----------
    data, runs, epoch
        As `scorers.Scorer`.
    space
        As in `density`.
    clusters
        The number of centroids. None stands for the number of classes.

    Raises
    ------
    OptionError
        If there are more clusters than training rows.
    RunError
        If the weights after `epoch` were not kept.
    """
    count = len(data.rows.class_names) if clusters is None else clusters
    if count > len(data.rows.training):
        raise OptionError(
            f"clusters={count:,} is out of range; the data has {len(data.rows.training):,} "
            "training rows"
        )
    measure = partial(_measure, clusters=count, seed=runs.seed)
    name = f"prototype_distance-{count}-{runs.seed}"
    return _spaces.measured(data, runs, measure, name=name, space=space, epoch=epoch)


def prototype_distances(
    points: Float[np.ndarray, "n D"], *, clusters: int, seed: int
) -> Float64[np.ndarray, "n"]:
    """The cosine distance of each row to its nearest centroid.

    It is 1 for a row, or a centroid, that is all zeros. Fewer different rows than clusters lie at
    0.

    Parameters
    ----------
    points
        The representations (n, D).
    clusters
        The number of centroids, at most n.
    seed
        The seed of the starts of k-means.
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    directions = _scaled(points)
    # one thread: scikit-learn adds the sums of its threads in the order in which they end, which
    # moves the last bits
    with warnings.catch_warnings(), threadpool_limits(limits=1):
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different rows than clusters
        start = int(np.random.default_rng([seed, 4]).integers(2**32))
        found = KMeans(clusters, n_init=STARTS, random_state=start).fit(directions)
    distances: np.ndarray = 1 - (directions @ _scaled(found.cluster_centers_).T).max(axis=1)
    return distances


def _scaled(rows: Float[np.ndarray, "n D"]) -> Float64[np.ndarray, "n D"]:
    """The rows as float64, each divided by its length; zeros stay zeros."""
    wide = rows.astype(np.float64)
    length = np.linalg.norm(wide, axis=1, keepdims=True)
    directions: np.ndarray = np.divide(wide, length, out=np.zeros_like(wide), where=length > 0)
    return directions


def _measure(
    points: "torch.Tensor", labels: "torch.Tensor", *, clusters: int, seed: int
) -> np.ndarray:
    return prototype_distances(points.cpu().numpy(), clusters=clusters, seed=seed)
