"""Copies of a network to work on, so that the network itself is never changed."""

import copy
from collections.abc import Iterator
from pickle import PicklingError
from typing import Any

import torch
from torch import nn

from prune_kit.errors import RunError

NOISE = 0.1  # in units of a parameter's mean size


def working_copy(model: nn.Module) -> nn.Module:
    """A copy of a network in eval mode, with frozen parameters.

    The parameters share the memory of the model's parameters. The buffers are copies. Tensors that
    the network has cached from an earlier pass lose their graph in the copy. Caches that `train()`
    drops, such as those of timm, are dropped.

    Parameters
    ----------
    model
        The network.

    Returns
    -------
    nn.Module
        The copy.

    Raises
    ------
    RunError
        If the network cannot be copied.
    """
    memo: dict[int, Any] = {}
    for module in model.modules():
        for tensor in _tensors(vars(module)):
            lazy = isinstance(tensor, nn.UninitializedParameter | nn.UninitializedBuffer)
            if lazy:
                raise RunError(
                    f"a parameter of {type(module).__name__} does not have a shape yet. Run the "
                    "network once before"
                )
            if isinstance(tensor, nn.Parameter):
                # A tensor of inference mode cannot be in a graph, so its copy has its own memory.
                own = tensor.detach().clone() if tensor.is_inference() else tensor.detach()
                memo[id(tensor)] = nn.Parameter(own, requires_grad=False)
            elif tensor.is_inference() or not tensor.is_leaf:
                memo[id(tensor)] = tensor.detach().clone()
    model = getattr(model, "_orig_mod", model)  # of `torch.compile`
    try:
        copied = copy.deepcopy(model, memo)
    except (TypeError, ValueError, AttributeError, RuntimeError, PicklingError) as error:
        raise RunError(
            f"{type(model).__name__} cannot be copied for its gradient norms: {error}"
        ) from error
    forget_caches(copied)
    return copied


def checking_copy(model: nn.Module) -> nn.Module:
    """A working copy in float64 whose parameters differ from the model's by a tenth.

    The noise is the same in every call. With it, a comparison says something about parameters that
    start at zero, too.

    Parameters
    ----------
    model
        The network.

    Returns
    -------
    nn.Module
        The copy. Its parameters have memory of their own.

    Raises
    ------
    RunError
        If the network cannot be copied.
    """
    copied = working_copy(model)._apply(_doubled)  # type: ignore[no-untyped-call]
    rng = torch.Generator().manual_seed(0)
    for parameter in copied.parameters():
        if not parameter.is_floating_point() and not parameter.is_complex():
            continue
        noise = torch.randn(parameter.shape, generator=rng, dtype=parameter.dtype)
        noise = noise.to(parameter.device)
        parameter.data = parameter + NOISE * (parameter.abs().mean() + NOISE) * noise
    return copied  # type: ignore[no-any-return]


def forget_caches(copied: nn.Module) -> None:
    """Make a copy drop what it keeps from one evaluation to the next.

    For example, levit of timm keeps its attention biases.

    Parameters
    ----------
    copied
        A working copy. It is in eval mode afterwards.
    """
    copied.train()
    copied.eval()


def _doubled(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor in memory of its own, in float64 or complex128 unless it holds integers."""
    if tensor.is_complex():
        return tensor.to(torch.complex128, copy=True)
    return tensor.to(torch.float64, copy=True) if tensor.is_floating_point() else tensor.clone()


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    """The tensors in a module's attributes, and in plain containers there; not in submodules."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for entry in value.values():
            yield from _tensors(entry)
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from _tensors(entry)
