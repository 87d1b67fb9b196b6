"""Refusals of networks for which a per-example gradient norm is undefined or incomplete."""

from typing import Any

import torch
from torch import nn

from prune_kit.errors import RunError

COUPLING = 1e-7  # relative to the largest logit, in float64


def refuse_batch_statistics(model: nn.Module) -> None:
    """Refuse a network with a batch norm that keeps no running statistics.

    Such a layer uses the statistics of the batch, in eval mode too.

    Parameters
    ----------
    model
        The network.

    Raises
    ------
    RunError
        If there is such a layer. The error names it.
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is None:
            raise RunError(
                f"{name or 'the network'} ({type(module).__name__}) keeps no running statistics. "
                "The examples of a batch share its statistics, so no example has a gradient of "
                "its own. Build it with track_running_stats=True"
            )


def refuse_foreign_parameters(copied: nn.Module, example: torch.Tensor) -> None:
    """Refuse a working copy that depends on trainable parameters, which must be another network's.

    The parameters of a working copy are frozen. A function that is stored in the network may refer
    to the parameters of the network that was copied.

    Parameters
    ----------
    copied
        A working copy of the network.
    example
        Its inputs for one example, (1, ...).

    Raises
    ------
    RunError
        If the logits depend on such a parameter. The error names its shape.
    """
    with torch.enable_grad():
        logits = copied(example)
    waiting: list[Any] = []
    if isinstance(logits, torch.Tensor) and logits.requires_grad:
        waiting.append(logits.grad_fn)
    visited = set(waiting)
    while waiting:
        node = waiting.pop()
        if isinstance(getattr(node, "variable", None), nn.Parameter):
            raise RunError(
                f"{type(copied).__name__} uses a parameter of shape {tuple(node.variable.shape)} "
                "that is not its own. A function stored in it, such as a lambda, may refer to "
                "another module. Register that module as a submodule"
            )
        following = {other for other, _ in node.next_functions if other is not None} - visited
        visited |= following
        waiting += following


def refuse_coupling(copied: nn.Module, examples: torch.Tensor) -> None:
    """Refuse a network whose logits of an example depend on the other examples of its batch.

    Parameters
    ----------
    copied
        A copy of the network in float64, where the rounding is far below the tolerance.
    examples
        The inputs (B, ...) of a batch, in float64.

    Raises
    ------
    RunError
        If the logits depend on the batch. The error names the first module whose output does.
    """
    with torch.no_grad():
        together = copied(examples)
        alone = torch.cat([copied(example[None]) for example in examples])
    if _differ(together, alone):
        raise RunError(
            f"{_coupling_module(copied, examples)} makes the examples of a batch depend on each "
            "other, or on random numbers, in eval mode, so no example has a gradient of its own"
        )


def _coupling_module(copied: nn.Module, examples: torch.Tensor) -> str:
    """The first module whose output for an example depends on the batch, in words."""
    together = _traced(copied, examples)
    alone = _traced(copied, examples[:1])
    for (name, output), (_, expected) in zip(together, alone, strict=False):
        comparable = len(output) == len(expected) * len(examples)
        if comparable and _differ(output[: len(expected)], expected):
            return f"{name} ({type(copied.get_submodule(name)).__name__})"
    return type(copied).__name__


def _traced(copied: nn.Module, inputs: torch.Tensor) -> list[tuple[str, torch.Tensor]]:
    """The outputs of all modules in the order in which they are ready, inner modules first."""
    outputs: list[tuple[str, torch.Tensor]] = []

    def keep(name: str, output: Any) -> None:
        if isinstance(output, torch.Tensor) and output.is_floating_point() and output.dim():
            outputs.append((name, output.clone()))

    hooks = [
        module.register_forward_hook(lambda _module, _inputs, output, name=name: keep(name, output))
        for name, module in copied.named_modules()
    ]
    try:
        with torch.no_grad():
            copied(inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return outputs


def _differ(a: torch.Tensor, b: torch.Tensor) -> bool:
    return bool(((a - b).abs().max() > COUPLING * b.abs().max()).item())
