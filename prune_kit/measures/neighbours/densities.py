"""How densely the other rows lie around each row: sums of a Gaussian kernel over all pairs, a block at a time.

Source: Jiang, Zhang, Talwar, Mozer 2021, https://arxiv.org/abs/2002.03206, equations 3 to 5 and
appendix A.
"""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float, Float64, Int

from prune_kit.measures.neighbours.distances import ROUNDING, centre, square_distances, square_norms

# Rows. One CPU thread likes 512 to 1536 best, by a tenth; on a busy machine several threads wait
# for each other less often in larger blocks (two threads, 1024: twice the processor seconds of
# 2048).
BLOCK = {"cpu": 2048, "cuda": 8192}
Block = tuple[slice, slice, torch.Tensor]  # rows, columns, what is between them


def kernel_densities(
    features: Float[torch.Tensor, "N D"],
    labels: Int[torch.Tensor, "N"],
    *,
    block: int | None = None,
) -> Float64[np.ndarray, "3 N"]:
    """Three densities of each row: of all rows, of those with its label, and of the latter minus the others.

        all     1/N sum_j K(x_j, x_i)                               in [1/N, 1]
        same    1/N sum_j 1[y_j = y_i] K(x_j, x_i)                  in [1/N, 1]
        signed  1/N sum_j 2 (1[y_j = y_i] - 1/2) K(x_j, x_i)        in [2/N - 1, 1]

    with K(x, x') = exp(-|| x - x' ||^2 / h^2), not 2 h^2, and h half of the mean distance over
    pairs i != j. The row itself counts, with K = 1. Where all rows are identical h is 0; K is then
    1, as at distance 0 with any other h. Two passes over the pairs i <= j in blocks of `block`
    rows, one for h and one for all three sums; no (N, N) matrix. float32 products, float64 sums:
    the error of `all` and `same` is below 1e-5 of their value.
    """
    size = block or BLOCK[features.device.type]
    order = labels.argsort(stable=True)  # few blocks then hold pairs of the same label
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
    """The mean distance of centred points over the pairs i != j; 0 where there is no pair."""
    total = torch.zeros((), dtype=torch.float64, device=points.device)
    norms = square_norms(points) * (1 - ROUNDING * torch.finfo(points.dtype).eps)
    for rows, columns, squares in _blocks(points, norms, block):
        total += squares.sqrt_().sum(1).double().sum() * (1 if rows == columns else 2)
    return total.item() / max(len(points) * (len(points) - 1), 1)


def _kernel_sums(
    points: torch.Tensor, labels: torch.Tensor, block: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Of each row, the kernel's sum over all rows and over those of its label; `labels` ascend."""
    total = torch.zeros(len(points), dtype=torch.float64, device=points.device)
    same = torch.zeros_like(total)
    for rows, columns, squares in _blocks(points, square_norms(points), block):
        kernel = squares.neg_().exp_()
        _add(total, rows, columns, kernel)
        if labels[columns.start] <= labels[rows.stop - 1]:
            _add(same, rows, columns, kernel.mul_(labels[rows, None] == labels[columns]))
    return total, same


def _add(sums: torch.Tensor, rows: slice, columns: slice, block: torch.Tensor) -> None:
    """Add a block to the sums of its rows and, unless it is its own mirror image, of its columns."""
    sums[rows] += block.sum(1)
    if rows != columns:
        sums[columns] += block.sum(0)


def _blocks(points: torch.Tensor, norms: torch.Tensor, size: int) -> Iterator[Block]:
    """The squared distances of the pairs i <= j, a block at a time; on the diagonal both halves, and exact zeros.

    A block lasts until the next one is asked for, which takes its place in memory.
    """
    size = min(size, len(points))
    buffer = points.new_empty(size**2)
    parts = [slice(start, min(start + size, len(points))) for start in range(0, len(points), size)]
    for number, rows in enumerate(parts):
        for columns in parts[number:]:
            squares = square_distances(points, norms, rows, columns, buffer)
            yield rows, columns, squares.fill_diagonal_(0) if rows == columns else squares
