"""Copies of a network to work on, so that the network itself is never touched, whatever happens meanwhile."""

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from prune_kit.errors import RunError

NOISE = 0.1  # of a parameter's mean size


def working_copy(model: nn.Module) -> nn.Module:
    """A copy of `model` in eval mode whose frozen parameters share the memory of the model's; buffers are its own.

    Tensors that a network has cached from an earlier pass lose their graph in the copy, and caches
    that `train()` drops, as timm's do, are dropped. Raises RunError when the network cannot be
    copied.
    """
    memo: dict[int, Any] = {}
    for module in model.modules():
        for tensor in _tensors(vars(module)):
            if isinstance(
                tensor, nn.UninitializedParameter | nn.UninitializedBuffer
            ):  # of a lazy layer
                raise RunError(
                    f"a parameter of {type(module).__name__} has no shape yet; run the network "
                    "once first"
                )
            if isinstance(tensor, nn.Parameter):
                memo[id(tensor)] = nn.Parameter(tensor.detach(), requires_grad=False)
            elif not tensor.is_leaf:
                memo[id(tensor)] = tensor.detach().clone()
    try:
        copied = copy.deepcopy(model, memo)
    except (TypeError, RuntimeError, NotImplementedError) as error:
        raise RunError(
            f"{type(model).__name__} cannot be copied for its gradient norms: {error}"
        ) from error
    forget_caches(copied)
    return copied


def checking_copy(model: nn.Module) -> nn.Module:
    """A working copy in float64, with parameters of its own that differ by a tenth from the model's.

    The noise, always the same, keeps a comparison from being empty where a parameter starts at
    zero.
    """
    copied = working_copy(model).to(torch.float64)
    chance = torch.Generator().manual_seed(0)
    for parameter in filter(torch.is_floating_point, copied.parameters()):
        noise = torch.randn(parameter.shape, generator=chance, dtype=torch.float64).to(
            parameter.device
        )
        parameter.data = parameter + NOISE * (parameter.abs().mean() + NOISE) * noise
    return copied


def forget_caches(copied: nn.Module) -> None:
    """Make a copy drop what it keeps from one evaluation to the next (timm's levit: its attention biases)."""
    copied.train()
    copied.eval()


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    """The tensors in a module's attributes, also in plain containers, but not in its submodules."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for entry in value.values():
            yield from _tensors(entry)
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from _tensors(entry)
