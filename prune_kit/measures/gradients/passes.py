"""One forward and one backward pass over a batch that measures squared gradient norms on the way.

The parameters are frozen, so autograd computes the gradients of the activations only. In the
forward pass each measured layer keeps its input. In the backward pass the gradient at the layer's
output arrives, the squared norms are computed from both, and the input is freed. The pass runs on
a working copy of the network.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from prune_kit.errors import RunError
from prune_kit.measures.gradients.closed_forms import Squares, square_sums
from prune_kit.training.loop import autocast
from prune_kit.training.out_of_memory import is_out_of_memory

# Of (the call, the gradient at its output, B).
Measure = Callable[["Call", torch.Tensor, int], Squares]


class PlanMismatch(Exception):
    """A layer does not behave as it did when the plan was made."""


@dataclass(frozen=True)
class LayerHook:
    """How one layer is measured: `measure` gives the squares of its parameters `names`.

    `copy_inputs` is set for a layer whose input is overwritten later in the pass.
    """

    measure: Measure
    names: tuple[str, ...]
    copy_inputs: bool = False


@dataclass(eq=False)
class Call:
    """One call of a layer: its arguments, and the versions of their tensors at the call."""

    layer: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    names: tuple[str, ...]
    versions: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.versions = self._versions()

    @property
    def overwritten(self) -> bool:
        """Whether an input was changed in place after the call."""
        return self.versions != self._versions()

    def _versions(self) -> list[int]:
        return [
            value._version
            for value in [*self.args, *self.kwargs.values()]
            if isinstance(value, torch.Tensor)
        ]


@dataclass(eq=False)
class PassResult:
    """The result of one pass.

    `squares` holds the squared norms (B,) by the parameter's full name. `overwritten` names the
    layers whose input was overwritten before it was measured. `failed` holds the layers that cannot
    be measured in this way, each with the reason.
    """

    squares: Squares = field(default_factory=dict)
    overwritten: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)


def measure_batch(
    copied: nn.Module,
    layer_hooks: Mapping[str, LayerHook],
    expanded: tuple[str, ...],
    inputs: torch.Tensor,
    labels: torch.Tensor,
    precision: str = "fp32",
) -> PassResult:
    """Pass one batch through a working copy, and measure some of its parameters.

    Parameters
    ----------
    copied
        A working copy of the network.
    layer_hooks
        How layers are measured, by the layer's name.
    expanded
        The names of parameters (1, ...) that are replaced by one copy per example, (B, ...). The
        gradient of such a copy is computed like that of an activation.
    inputs
        The inputs (B, ...).
    labels
        The labels (B,).
    precision
        "fp32", or "bf16" for autocast.

    Returns
    -------
    PassResult
        The squared norms, and the layers that were not measured.

    Raises
    ------
    RunError
        If the network does not return logits (B, classes).
    """
    result = PassResult()
    start = torch.zeros((), device=inputs.device, requires_grad=True)
    with torch.enable_grad(), ExitStack() as hooks:
        copies = [_expand(copied, name, len(inputs), hooks) for name in expanded]
        for name, layer_hook in layer_hooks.items():
            _attach(copied, name, layer_hook, result, start, len(inputs), hooks)
        with autocast(inputs.device, precision):
            logits = copied(inputs)
        loss = cross_entropy(logits, labels).sum()
        hooks.close()  # because a measure may call the layer again
        if loss.requires_grad:
            gradients = torch.autograd.grad(loss, [start, *copies], allow_unused=True)[1:]
            for name, gradient in zip(expanded, gradients, strict=True):
                if gradient is not None:
                    result.squares[name] = square_sums(gradient)
    return result


def activation_bytes(copied: nn.Module, example: torch.Tensor, label: torch.Tensor) -> int:
    """How much memory autograd keeps for one example in a pass with trainable parameters.

    Parameters
    ----------
    copied
        A working copy of the network.
    example
        The inputs of one example, (1, ...).
    label
        Its label, (1,).

    Returns
    -------
    int
        The bytes of the kept activations. The parameters do not count.

    Raises
    ------
    RunError
        If the network does not return logits (1, classes).
    """
    parameters = {parameter.untyped_storage().data_ptr() for parameter in copied.parameters()}
    kept: dict[int, int] = {}

    def count(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with (
        torch.enable_grad(),
        torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor),
    ):
        cross_entropy(copied(example.detach().requires_grad_()), label)
    return sum(size for address, size in kept.items() if address not in parameters)


def cross_entropy(logits: Any, labels: torch.Tensor) -> torch.Tensor:
    """The cross-entropy of each example, in float32 or better.

    Parameters
    ----------
    logits
        The output of a network.
    labels
        The labels (B,).

    Returns
    -------
    (B,)
        The cross-entropies, in nats.

    Raises
    ------
    RunError
        If `logits` is not a tensor (B, classes).
    """
    if not isinstance(logits, torch.Tensor) or logits.dim() != 2 or len(logits) != len(labels):
        shape = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise RunError(
            f"the network returned {shape} for {len(labels)} examples; a gradient norm requires "
            "logits (B, classes)"
        )
    wide = torch.promote_types(logits.dtype, torch.float32)
    return functional.cross_entropy(logits.to(wide), labels, reduction="none")


def _attach(
    copied: nn.Module,
    name: str,
    layer_hook: LayerHook,
    result: PassResult,
    start: torch.Tensor,
    examples: int,
    hooks: ExitStack,
) -> None:
    """Register the hooks that measure one layer, until `hooks` are closed."""
    measured = copied.get_submodule(name)
    calls: list[Call] = []

    def before(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if layer_hook.copy_inputs:
            args = tuple(_copy(value) for value in args)
            kwargs = {key: _copy(value) for key, value in kwargs.items()}
        if calls:
            result.failed[name] = "it is called twice"
        calls.append(Call(layer, args, kwargs, layer_hook.names))

    def after(layer: nn.Module, args: Any, output: Any) -> Any:
        if not isinstance(output, torch.Tensor) or not output.is_floating_point():
            result.failed[name] = "its output is not one tensor"
            return None
        hooked = output if output.requires_grad else _Start.apply(output, start)
        hooked.register_hook(backward)
        return hooked

    def backward(gradient: torch.Tensor) -> None:
        call = calls.pop()
        if name in result.failed:
            return
        if call.overwritten:
            result.overwritten.add(name)
            return
        try:
            squares = layer_hook.measure(call, gradient, examples)
        except Exception as error:  # any error of foreign code says that the measure does not fit
            if is_out_of_memory(error):
                raise
            result.failed[name] = f"{type(error).__name__}: {error}"
            return
        for key in layer_hook.names:
            result.squares[f"{name}.{key}" if name else key] = squares[key]

    hooks.callback(measured.register_forward_pre_hook(before, with_kwargs=True).remove)
    hooks.callback(measured.register_forward_hook(after).remove)


def _copy(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, torch.Tensor) else value


def _expand(copied: nn.Module, name: str, examples: int, hooks: ExitStack) -> torch.Tensor:
    """Replace a parameter (1, ...) by one copy per example, (B, ...), until `hooks` are closed."""
    path, _, key = name.rpartition(".")
    owner = copied.get_submodule(path)
    parameter = owner._parameters.pop(key)
    assert parameter is not None
    copies = parameter.detach().expand(examples, *parameter.shape[1:]).requires_grad_()
    setattr(owner, key, copies)

    def restore() -> None:
        delattr(owner, key)
        owner._parameters[key] = parameter

    hooks.callback(restore)
    return copies


class _Start(torch.autograd.Function):
    """The identity, in place, from which on the activations have gradients.

    Neither the inputs nor the weights have any. The result is neither a leaf nor a view, so a
    following in-place operation is allowed, as it was before.
    """

    @staticmethod
    def forward(ctx: Any, activation: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
        """The activation, unchanged.

        Parameters
        ----------
        ctx
            What autograd keeps of the call. It is told that the activation is changed in place.
        activation
            The activation, of any shape.
        start
            A tensor () that requires a gradient. Through it autograd reaches back to this point.
        """
        ctx.mark_dirty(activation)
        return activation

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[None, torch.Tensor]:
        """Stop here: gradients before this point are not used."""
        return None, gradients[0].new_zeros(())
