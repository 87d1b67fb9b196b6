"""Squared distances between blocks of rows, from one matrix product, and how far rounding can take them.

|| a - b ||^2 = || a ||^2 + || b ||^2 - 2 a . b
"""

import torch
from jaxtyping import Float

# The largest error of the formula, in units of eps (||a||^2 + ||b||^2). Measured in float32: at
# most 4, for 64 to 12,288 numbers per row. So much subtracted puts copies of a row at distance 0,
# where they belong.
ROUNDING = 8
BLOCK = 4096


def centre(features: Float[torch.Tensor, "N D"]) -> Float[torch.Tensor, "D"]:
    """The mean row. The formula cancels least around it; identical rows less their centre are exactly 0."""
    total = torch.zeros(features.shape[1], dtype=torch.float64, device=features.device)
    for block in torch.split(features, BLOCK):
        total += block.sum(
            0, dtype=torch.float64
        )  # in float32 the mean of identical rows would not be that row
    return (total / len(features)).to(features.dtype)


def square_norms(points: Float[torch.Tensor, "N D"]) -> Float[torch.Tensor, "N"]:
    """|| a ||^2 of each row, a block at a time, so that no second copy of the points is made."""
    return torch.cat([block.square().sum(1) for block in torch.split(points, BLOCK)])


def square_distances(
    points: Float[torch.Tensor, "N D"],
    norms: Float[torch.Tensor, "N"],
    rows: slice | torch.Tensor,
    columns: slice,
    buffer: Float[torch.Tensor, "S"],
) -> Float[torch.Tensor, "A B"]:
    """Between `rows` and `columns` of centred points, 0 or more, from their squared `norms`.

    The result lies in `buffer`, of A B numbers or more: one buffer for all blocks keeps the memory
    from being given back and asked for again, or from falling into pieces.
    """
    own, others = points[rows], points[columns]
    result = buffer[: len(own) * len(others)].view(len(own), len(others))
    torch.addmm(norms[columns], own, others.T, alpha=-2, out=result)
    return result.add_(norms[rows, None]).clamp_(min=0)
