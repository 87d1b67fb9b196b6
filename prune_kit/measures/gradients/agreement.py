"""The comparison of the ways with single examples, on a few rows in float64."""

from collections.abc import Collection

import torch
from torch import nn

from prune_kit.measures.gradients import fallbacks
from prune_kit.measures.gradients.closed_forms import Squares
from prune_kit.training.out_of_memory import is_out_of_memory

CHECKED = 3  # the examples that the ways are compared on
TOLERANCE = 1e-8  # relative to the parameter's squared norm
ROUNDING = 1e-20  # relative to the squared norm of the whole gradient


def of_network(
    names: tuple[str, ...],
    copied: nn.Module,
    examples: torch.Tensor,
    labels: torch.Tensor,
    expected: Squares,
) -> bool:
    """Whether `torch.func` over the whole network gives the squares of single examples.

    Parameters
    ----------
    names
        The parameters that are compared.
    copied
        A working copy of the network in float64.
    examples
        The inputs (B, ...) of a few examples.
    labels
        Their labels (B,).
    expected
        The squares of single examples.

    Returns
    -------
    bool
        False also where `torch.func` cannot transform the network.
    """
    if not names:
        return True
    try:
        squares = fallbacks.network_squares(copied, names, examples, labels)
    except Exception as error:  # not every network can be transformed by torch.func
        if is_out_of_memory(error):
            raise
        return False
    return not differing(names, squares, expected)


def differing(names: Collection[str], squares: Squares, expected: Squares) -> list[str]:
    """The parameters whose squares differ from those of single examples; a missing one is zero.

    Parameters
    ----------
    names
        The parameters that are compared.
    squares
        Their squares (B,).
    expected
        The squares of single examples.

    Returns
    -------
    list of str
        The names of those that differ.
    """
    total = torch.stack(list(expected.values())).sum(0)
    wrong = []
    for name in names:
        square = squares.get(name, torch.zeros_like(total))
        truth = expected.get(name, torch.zeros_like(total))
        close = (square - truth).abs() <= TOLERANCE * truth + ROUNDING * total
        if not bool(close.all()):
            wrong.append(name)
    return wrong


def distinct_rows(inputs: torch.Tensor) -> list[int]:
    """Up to three rows of a batch that are all different: the first, and the last that differ.

    Parameters
    ----------
    inputs
        The inputs (B, ...) of a batch.

    Returns
    -------
    list of int
        The positions of the rows.
    """
    rows = [0] if len(inputs) else []
    for row in reversed(range(len(inputs))):
        if len(rows) == CHECKED:
            break
        if all(not torch.equal(inputs[row], inputs[other]) for other in rows):
            rows.append(row)
    return rows
