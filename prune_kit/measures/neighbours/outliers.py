"""The local outlier factor: how much thinner the neighbourhood of a row is than those of its neighbours.

Source: Breunig, Kriegel, Ng, Sander 2000, https://doi.org/10.1145/335191.335388, as scikit-learn's
LocalOutlierFactor computes it. The neighbours are found by products of whole blocks in float32; the
nearest of them are measured again in float64. Where a row outside of this shortlist might be
nearer, for all that float32 can tell, the row's neighbours are searched again in float64.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int

from prune_kit.errors import DataError
from prune_kit.measures.neighbours.distances import ROUNDING, centre, square_distances, square_norms

SHORTLIST = 8  # rows beyond the neighbours
BLOCK_BYTES = {"cpu": 128 * 2**20, "cuda": 2**30}  # of the distances from some rows to all
SMALLEST = 1e-10  # scikit-learn's; keeps the density of copies finite


def negative_outlier_factors(
    features: Float[torch.Tensor, "N D"], neighbours: int
) -> Float64[np.ndarray, "N"]:
    """Minus the local outlier factor among the `neighbours` (k) nearest rows: about -1 inside, far below it outside.

        density_i = 1 / mean_j max(|| x_i - x_j ||, distance of j to its k-th nearest)        j the k nearest of i
        s_i = -mean_j density_j / density_i

    Of rows at the same distance the first ones count. More than k copies of a row are at distance 0
    from each other: their density is 1e10, their factor -1, and a row that has them as neighbours
    gets a factor of down to -1e10 times its distance. Raises DataError where there are no k other
    rows.
    """
    if len(features) <= neighbours:
        raise DataError(
            f"lof compares each training row with its {neighbours} nearest; {len(features)} rows "
            f"are too few, it takes at least {neighbours + 1}"
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
    distances, nearest, sure = _search(features, features - centre(features), every, count)
    unsure = every[~sure]
    if len(unsure):  # what is unsure in float64 too are ties
        wide = features.double()
        distances[unsure], nearest[unsure], _ = _search(
            features, wide - centre(wide), unsure, count
        )
    return distances, nearest


def _search(
    features: torch.Tensor, points: torch.Tensor, rows: torch.Tensor, count: int
) -> tuple[Float64[torch.Tensor, "A K"], Int[torch.Tensor, "A K"], Bool[torch.Tensor, "A"]]:
    """The nearest of some rows, in the precision of the centred `points`; and whether it was enough to be sure."""
    norms, everything = square_norms(points), slice(0, len(points))
    size = max(BLOCK_BYTES[points.device.type] // (len(points) * points.element_size()), 1)
    buffer = points.new_empty(min(size, len(rows)) * len(points))
    candidates = min(count + SHORTLIST, len(points) - 1)
    found = []
    for own in torch.split(rows, size):
        squares = square_distances(points, norms, own, everything, buffer)
        squares[torch.arange(len(own), device=own.device), own] = (
            torch.inf
        )  # no row is its own neighbour
        listed, shortlist = squares.topk(candidates, largest=False)
        shortlist = shortlist.sort(
            1
        ).values  # so that of rows at the same distance the first counts
        exact, order = _exact_squares(features, own, shortlist).sort(dim=1, stable=True)
        farthest = exact[:, count - 1]
        # of rows at least as near as the k-th neighbour: the norm of one is at most sqrt(norm_i) +
        # distance
        norm = norms[own].double()
        error = (
            ROUNDING * torch.finfo(points.dtype).eps * (norm + (norm.sqrt() + farthest.sqrt()) ** 2)
        )
        sure = (
            (farthest < listed[:, -1] - error)
            if candidates < len(points) - 1
            else torch.ones_like(own).bool()
        )
        found.append((exact[:, :count].sqrt(), shortlist.gather(1, order[:, :count]), sure))
    distances, nearest, sure = (torch.cat(parts) for parts in zip(*found, strict=True))
    return distances, nearest, sure


def _exact_squares(
    features: torch.Tensor, rows: torch.Tensor, shortlist: Int[torch.Tensor, "A S"]
) -> Float64[torch.Tensor, "A S"]:
    """Squared distances from the differences themselves, in float64: copies are at 0."""
    own = features[rows].double()
    columns = [(features[column].double() - own).square_().sum(1) for column in shortlist.T]
    return torch.stack(columns, dim=1)
