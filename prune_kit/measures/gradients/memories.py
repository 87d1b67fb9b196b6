"""The memory of tensors, by which views are recognised, and the tensors in a value."""

from collections.abc import Iterator
from typing import Any

import torch


def memory(tensor: torch.Tensor) -> int:
    """The address of a tensor's storage; a sparse tensor has none, so that of itself.

    Parameters
    ----------
    tensor
        The tensor.

    Returns
    -------
    int
        The address.
    """
    if tensor.layout is not torch.strided:
        return id(tensor)
    address: int = tensor.untyped_storage()._cdata
    return address


def tensors_in(value: Any) -> Iterator[torch.Tensor]:
    """The tensors of an operation's argument or output.

    Parameters
    ----------
    value
        A tensor, a list or tuple, or something else.

    Yields
    ------
    torch.Tensor
        Each tensor.
    """
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from tensors_in(entry)
