"""The loss whose gradient is measured, and the refusal of outputs and labels that have none."""

from typing import Any

import torch
from torch.nn import functional

from prune_kit.errors import RunError


def cross_entropy(logits: Any, labels: torch.Tensor) -> torch.Tensor:
    """The cross-entropy of each example, in float32 or better.

    Parameters
    ----------
    logits
        The output of a network.
    labels
        The labels (B,), in 0 .. classes - 1.

    Returns
    -------
    (B,)
        The cross-entropies, in nats.

    Raises
    ------
    RunError
        If `logits` is not a tensor (B, classes) of real floating-point numbers.
    """
    refuse_output(logits, len(labels))
    wide = torch.promote_types(logits.dtype, torch.float32)
    return functional.cross_entropy(logits.to(wide), labels, reduction="none")


def refuse_output(logits: Any, examples: int) -> None:
    """Refuse what is not one row of logits for each example.

    Parameters
    ----------
    logits
        The output of a network.
    examples
        The number of examples that it was given.

    Raises
    ------
    RunError
        If `logits` is not a tensor (B, classes) of real floating-point numbers.
    """
    given = type(logits).__name__
    if isinstance(logits, torch.Tensor):
        if logits.is_floating_point() and logits.dim() == 2 and len(logits) == examples:
            return
        given = f"{tuple(logits.shape)}"
        if not logits.is_floating_point():
            given += f" of {str(logits.dtype).removeprefix('torch.')}"
    raise RunError(
        f"the network returned {given} for {examples} examples; a gradient norm requires "
        "logits (B, classes). Wrap the network in a module that returns them"
    )


def refuse_labels(labels: torch.Tensor, classes: int) -> None:
    """Refuse labels that name no class.

    Parameters
    ----------
    labels
        The labels (B,).
    classes
        The number of classes.

    Raises
    ------
    RunError
        If a label is not in 0 .. classes - 1. The error names the first.
    """
    wrong = (labels < 0) | (labels >= classes)
    if bool(wrong.any()):
        row = int(wrong.nonzero()[0, 0])
        raise RunError(
            f"the label of row {row} is {int(labels[row])}, and the network's {classes} classes "
            f"are 0 to {classes - 1}. Leave such rows out"
        )
