"""Squared distances between blocks of rows, from one matrix product, and their rounding error.

|| a - b ||^2 = || a ||^2 + || b ||^2 - 2 a . b
"""

import torch
from jaxtyping import Float

# The largest error of the formula, in units of eps (||a||^2 + ||b||^2). The largest that was
# measured is 4, in float32, for rows of 64 to 12,288 numbers. `mean_distance` subtracts the error,
# so that copies of a row are at distance 0.
ROUNDING = 8
BLOCK = 4096  # rows


def centre(features: Float[torch.Tensor, "N D"]) -> Float[torch.Tensor, "D"]:
    """The mean row, around which the formula cancels least.

    Identical rows minus their centre are exactly 0.

    Parameters
    ----------
    features
        The rows.

    Returns
    -------
    (D,)
        The mean, in the type of the rows.
    """
    total = torch.zeros(features.shape[1], dtype=torch.float64, device=features.device)
    for block in torch.split(features, BLOCK):
        # In float32 the mean of identical rows would differ from them.
        total += block.sum(0, dtype=torch.float64)
    return (total / len(features)).to(features.dtype)


def square_norms(points: Float[torch.Tensor, "N D"]) -> Float[torch.Tensor, "N"]:
    """|| a ||^2 of each row, a block at a time, which saves a second copy of the points.

    Parameters
    ----------
    points
        The rows.

    Returns
    -------
    (N,)
        The squared norms, 0 or more.
    """
    return torch.cat([block.square().sum(1) for block in torch.split(points, BLOCK)])


def square_distances(
    points: Float[torch.Tensor, "N D"],
    norms: Float[torch.Tensor, "N"],
    rows: slice | torch.Tensor,
    columns: slice,
    buffer: Float[torch.Tensor, "S"],
) -> Float[torch.Tensor, "A B"]:
    """The squared distances between some rows and a range of rows.

    One buffer for all blocks keeps the memory from being freed and allocated again for each block,
    and from fragmenting.

    Parameters
    ----------
    points
        The points, centred.
    norms
        Their squared norms.
    rows
        The A rows.
    columns
        The range of B rows.
    buffer
        Memory for at least A B numbers. The result is a view of it.

    Returns
    -------
    (A, B)
        The squared distances, 0 or more.
    """
    points_a = points[rows]
    points_b = points[columns]
    result = buffer[: len(points_a) * len(points_b)].view(len(points_a), len(points_b))
    torch.addmm(norms[columns], points_a, points_b.T, alpha=-2, out=result)
    return result.add_(norms[rows, None]).clamp_(min=0)
