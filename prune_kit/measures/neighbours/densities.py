"""The density of the rows around each row: sums of a Gaussian kernel over all pairs of rows.

The pairs are computed a block at a time.

Source: Jiang, Zhang, Talwar, Mozer 2021, https://arxiv.org/abs/2002.03206, equations 3 to 5 and
appendix A.
"""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float, Float64, Int

from prune_kit.measures.neighbours.distances import ROUNDING, centre, square_distances, square_norms

# The rows of a block. One CPU thread is faster by a tenth with 512 to 1536. On a busy machine
# several threads wait for each other less often in larger blocks: two threads take twice the
# processor seconds with 1024 that they take with 2048.
BLOCK = {"cpu": 2048, "cuda": 8192}
Block = tuple[slice, slice, torch.Tensor]  # rows, columns, the squared distances between them


def kernel_densities(
    features: Float[torch.Tensor, "N D"],
    labels: Int[torch.Tensor, "N"],
    *,
    block: int | None = None,
) -> Float64[np.ndarray, "3 N"]:
    """Three densities of each row: of all rows, of the rows of its label, and signed by the label.

        all     1/N sum_j K(x_j, x_i)                               in [1/N, 1]
        same    1/N sum_j 1[y_j = y_i] K(x_j, x_i)                  in [1/N, 1]
        signed  1/N sum_j 2 (1[y_j = y_i] - 1/2) K(x_j, x_i)        in [2/N - 1, 1]

    with K(x, x') = exp(-|| x - x' ||^2 / h^2). The denominator is h^2, not 2 h^2, and h is half of
    the mean distance over the pairs i != j. The row itself counts, with K = 1. Where all rows are
    identical, h is 0 and K is 1, as at distance 0 with any other h.

    The pairs i <= j are passed twice, once for h and once for all three sums. An (N, N) matrix is
    never built. Products are in float32 and sums in float64. The relative error of `all` and `same`
    is below 1e-5.

    Parameters
    ----------
    features
        The rows, float32 or float64, on any device.
    labels
        The label of each row.
    block
        The rows of a block, 2,048 on a CPU and 8,192 on a GPU by default.

    Returns
    -------
    (3, N)
        The densities `all`, `same` and `signed` of each row.
    """
    size = block or BLOCK[features.device.type]
    order = labels.argsort(stable=True)  # so that few blocks hold pairs of the same label
    labels = labels[order]
    points = features[order].sub_(centre(features))
    bandwidth = mean_distance(points, size) / 2
    if bandwidth > 0:
        points /= bandwidth
    total, same = _kernel_sums(points, labels, size)
    densities = torch.stack([total, same, 2 * same - total]) / len(points)
    by_row = torch.empty_like(densities)
    by_row[:, order] = densities
    return by_row.cpu().numpy()


def mean_distance(points: Float[torch.Tensor, "N D"], block: int) -> float:
    """The mean distance of points over the pairs i != j.

    Parameters
    ----------
    points
        The points, centred.
    block
        The rows of a block.

    Returns
    -------
    float
        The mean distance, 0 for fewer than two points.
    """
    total = torch.zeros((), dtype=torch.float64, device=points.device)
    norms = square_norms(points) * (1 - ROUNDING * torch.finfo(points.dtype).eps)
    for rows, columns, squares in _blocks(points, norms, block):
        total += squares.sqrt_().sum(1).double().sum() * (1 if rows == columns else 2)
    return total.item() / max(len(points) * (len(points) - 1), 1)


def _kernel_sums(
    points: torch.Tensor, labels: torch.Tensor, block: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The kernel's sums over all rows and over those of the row's label; `labels` ascend."""
    total = torch.zeros(len(points), dtype=torch.float64, device=points.device)
    same = torch.zeros_like(total)
    for rows, columns, squares in _blocks(points, square_norms(points), block):
        kernel = squares.neg_().exp_()
        _add(total, rows, columns, kernel)
        if labels[columns.start] <= labels[rows.stop - 1]:
            _add(same, rows, columns, kernel.mul_(labels[rows, None] == labels[columns]))
    return total, same


def _add(sums: torch.Tensor, rows: slice, columns: slice, block: torch.Tensor) -> None:
    """Add a block to the sums of its rows, and off the diagonal to the sums of its columns."""
    sums[rows] += block.sum(1)
    if rows != columns:
        sums[columns] += block.sum(0)


def _blocks(points: torch.Tensor, norms: torch.Tensor, size: int) -> Iterator[Block]:
    """The squared distances of the pairs i <= j, a block at a time.

    A block on the diagonal holds both halves, and exact zeros on its diagonal. The next block
    overwrites the one before it.
    """
    size = min(size, len(points))
    buffer = points.new_empty(size**2)
    parts = [slice(start, min(start + size, len(points))) for start in range(0, len(points), size)]
    for number, rows in enumerate(parts):
        for columns in parts[number:]:
            squares = square_distances(points, norms, rows, columns, buffer)
            yield rows, columns, squares.fill_diagonal_(0) if rows == columns else squares
