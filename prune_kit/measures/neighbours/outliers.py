"""The local outlier factor: how much less dense a row's neighbourhood is than its neighbours'.

Source: Breunig, Kriegel, Ng, Sander 2000, https://doi.org/10.1145/335191.335388, as scikit-learn's
LocalOutlierFactor computes it. The neighbours are found by products of whole blocks in float32. The
nearest of them, the shortlist, are measured again in float64. Where the rounding of float32 may
hide a nearer row outside of the shortlist, the row's neighbours are searched again in float64.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int

from prune_kit.errors import DataError
from prune_kit.measures.neighbours.distances import ROUNDING, centre, square_distances, square_norms

SHORTLIST = 8  # the rows beyond the neighbours that are measured again
BLOCK_BYTES = {"cpu": 128 * 2**20, "cuda": 2**30}  # the distances from some rows to all
SMALLEST = 1e-10  # as in scikit-learn; it keeps the density of copies finite


def negative_outlier_factors(
    features: Float[torch.Tensor, "N D"], neighbours: int
) -> Float64[np.ndarray, "N"]:
    """Minus the local outlier factor of each row: about -1 for inliers, far below -1 for outliers.

        density_i = 1 / mean_j max(|| x_i - x_j ||, distance of j to its k-th nearest row)
        s_i = -mean_j density_j / density_i

    over the k nearest rows j of row i. Of rows at the same distance the first ones count. More than
    k copies of a row are at distance 0 from each other: their density is 1e10 and their factor is
    -1. A row that has them as neighbours gets a factor of down to -1e10 times its distance.

    Parameters
    ----------
    features
        The rows.
    neighbours
        The number of nearest rows, k, 1 or more.

    Returns
    -------
    (N,)
        The factors, below 0.

    Raises
    ------
    DataError
        If the number of rows is not greater than `neighbours`.
    """
    if len(features) <= neighbours:
        raise DataError(
            f"lof compares each training row with its {neighbours} nearest; it "
            f"requires at least {neighbours + 1} rows, and the data has {len(features)}"
        )
    distances, nearest = _nearest(features, neighbours)
    reach = torch.maximum(distances, distances[nearest, -1]).mean(1)
    density = 1 / (reach + SMALLEST)
    return -(density[nearest].mean(1) / density).cpu().numpy()


def _nearest(
    features: Float[torch.Tensor, "N D"], count: int
) -> tuple[Float64[torch.Tensor, "N K"], Int[torch.Tensor, "N K"]]:
    """The distances to the `count` nearest other rows, ascending, and which rows they are."""
    every = torch.arange(len(features), device=features.device)
    distances, nearest, certain = _search(features, features - centre(features), every, count)
    uncertain = every[~certain]
    if len(uncertain):  # rows that remain uncertain in float64 have ties
        wide = features.double()
        again = _search(features, wide - centre(wide), uncertain, count)
        distances[uncertain] = again[0]
        nearest[uncertain] = again[1]
    return distances, nearest


def _search(
    features: torch.Tensor, points: torch.Tensor, rows: torch.Tensor, count: int
) -> tuple[Float64[torch.Tensor, "A K"], Int[torch.Tensor, "A K"], Bool[torch.Tensor, "A"]]:
    """The distances to the nearest rows of some rows, their numbers, and whether they are certain.

    The search is in the precision of the centred `points`.
    """
    norms = square_norms(points)
    everything = slice(0, len(points))
    size = max(BLOCK_BYTES[points.device.type] // (len(points) * points.element_size()), 1)
    buffer = points.new_empty(min(size, len(rows)) * len(points))
    candidates = min(count + SHORTLIST, len(points) - 1)
    eps = torch.finfo(points.dtype).eps
    results = []
    for part in torch.split(rows, size):
        squares = square_distances(points, norms, part, everything, buffer)
        # A row is not a neighbour of itself.
        squares[torch.arange(len(part), device=part.device), part] = torch.inf
        listed, shortlist = squares.topk(candidates, largest=False)
        # Sorted, so that of rows at the same distance the first counts.
        shortlist = shortlist.sort(1).values
        exact, order = _exact_squares(features, part, shortlist).sort(dim=1, stable=True)
        farthest = exact[:, count - 1]
        # For rows at least as near as the k-th neighbour, whose norm is at most sqrt(norm_i) plus
        # the distance.
        norm = norms[part].double()
        error = ROUNDING * eps * (norm + (norm.sqrt() + farthest.sqrt()) ** 2)
        if candidates < len(points) - 1:
            certain = farthest < listed[:, -1] - error
        else:
            certain = torch.ones_like(part).bool()
        results.append((exact[:, :count].sqrt(), shortlist.gather(1, order[:, :count]), certain))
    distances, nearest, certain = (torch.cat(parts) for parts in zip(*results, strict=True))
    return distances, nearest, certain


def _exact_squares(
    features: torch.Tensor, rows: torch.Tensor, shortlist: Int[torch.Tensor, "A S"]
) -> Float64[torch.Tensor, "A S"]:
    """Squared distances from the differences, in float64; those between copies are exactly 0."""
    points = features[rows].double()
    columns = [(features[column].double() - points).square_().sum(1) for column in shortlist.T]
    return torch.stack(columns, dim=1)
