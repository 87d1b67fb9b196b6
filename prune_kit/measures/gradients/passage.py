"""One forward and one backward pass over a batch, in which each layer's squared gradient norms are taken as it goes by.

The parameters are frozen, so autograd computes the gradients of the activations only. Each layer in
question keeps its input on the way forward; on the way back, when the gradient at its output is
there, both make the squared norms, and the input is let go. All of this happens to a working copy
of the network.
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

Measure = Callable[
    ["Call", torch.Tensor, int], Squares
]  # (the call, the gradient at its output, B)


class Unexpected(Exception):
    """A layer did not do what it did when the batch was planned."""


@dataclass(frozen=True)
class Tap:
    """What is to be done at one layer: `measure` its parameters `names`; `copy_inputs` that are overwritten later."""

    measure: Measure
    names: tuple[str, ...]
    copy_inputs: bool = False


@dataclass(eq=False)
class Call:
    """One call of a layer: its tensors by position or keyword, each with its version when the layer saw it."""

    layer: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    names: tuple[str, ...]
    versions: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.versions = self._versions()

    @property
    def overwritten(self) -> bool:
        """Whether an input was changed in place after the layer saw it."""
        return self.versions != self._versions()

    def _versions(self) -> list[int]:
        return [
            value._version
            for value in [*self.args, *self.kwargs.values()]
            if isinstance(value, torch.Tensor)
        ]


@dataclass(eq=False)
class Passage:
    """What one pass found: squares (B,) by full parameter name, and layers that cannot be measured in this way."""

    squares: Squares = field(default_factory=dict)
    overwritten: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)  # layer: why


def measure_batch(
    copied: nn.Module,
    taps: Mapping[str, Tap],
    expanded: tuple[str, ...],
    inputs: torch.Tensor,
    labels: torch.Tensor,
    precision: str = "fp32",
) -> Passage:
    """Pass one batch through a working copy, and measure the layers that have a tap.

    `expanded` names parameters (1, ...) that every example gets a copy (B, ...) of, which is then
    like an activation.
    """
    passage = Passage()
    start = torch.zeros((), device=inputs.device, requires_grad=True)
    with torch.enable_grad(), ExitStack() as hooks:
        own = [_expand(copied, name, len(inputs), hooks) for name in expanded]
        for name, tap in taps.items():
            _attach(copied.get_submodule(name), name, tap, passage, start, len(inputs), hooks)
        with autocast(inputs.device, precision):
            logits = copied(inputs)
        loss = cross_entropy(logits, labels).sum()
        hooks.close()  # a measure may call the layer again
        if loss.requires_grad:
            gradients = torch.autograd.grad(loss, [start, *own], allow_unused=True)[1:]
            for name, gradient in zip(expanded, gradients, strict=True):
                if gradient is not None:
                    passage.squares[name] = square_sums(gradient)
    return passage


def activation_bytes(copied: nn.Module, example: torch.Tensor, label: torch.Tensor) -> int:
    """What autograd keeps of one example in an ordinary pass with trainable parameters, without the parameters."""
    own = {parameter.untyped_storage().data_ptr() for parameter in copied.parameters()}
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
    return sum(size for address, size in kept.items() if address not in own)


def cross_entropy(logits: Any, labels: torch.Tensor) -> torch.Tensor:
    """The cross-entropy (B,) of each example, in float32 or better. Raises RunError for anything but logits (B, C)."""
    if not isinstance(logits, torch.Tensor) or logits.dim() != 2 or len(logits) != len(labels):
        shape = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise RunError(
            f"the network gave {shape} for {len(labels)} examples; a gradient norm needs logits "
            "(B, classes)"
        )
    wide = torch.promote_types(logits.dtype, torch.float32)
    return functional.cross_entropy(logits.to(wide), labels, reduction="none")


def _attach(
    layer: nn.Module,
    name: str,
    tap: Tap,
    passage: Passage,
    start: torch.Tensor,
    examples: int,
    hooks: ExitStack,
) -> None:
    calls: list[Call] = []

    def before(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if tap.copy_inputs:
            args = tuple(_copy(value) for value in args)
            kwargs = {key: _copy(value) for key, value in kwargs.items()}
        if calls:
            passage.failed[name] = "it is called twice"
        calls.append(Call(layer, args, kwargs, tap.names))

    def after(layer: nn.Module, args: Any, output: Any) -> Any:
        if not isinstance(output, torch.Tensor) or not output.is_floating_point():
            passage.failed[name] = "its output is not one tensor"
            return None
        tapped = output if output.requires_grad else _Start.apply(output, start)
        tapped.register_hook(backward)
        return tapped

    def backward(gradient: torch.Tensor) -> None:
        call = calls.pop()
        if name in passage.failed:
            return
        if call.overwritten:
            passage.overwritten.add(name)
            return
        try:
            squares = tap.measure(call, gradient, examples)
        except (
            Exception
        ) as error:  # whatever a measure makes of a foreign layer, it does not fit it
            if is_out_of_memory(error):
                raise
            passage.failed[name] = f"{type(error).__name__}: {error}"
            return
        passage.squares.update(
            {f"{name}.{key}" if name else key: squares[key] for key in tap.names}
        )

    hooks.callback(layer.register_forward_pre_hook(before, with_kwargs=True).remove)
    hooks.callback(layer.register_forward_hook(after).remove)


def _copy(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, torch.Tensor) else value


def _expand(copied: nn.Module, name: str, examples: int, hooks: ExitStack) -> torch.Tensor:
    """Put (B, ...) equal copies in the place of a parameter (1, ...), until the hooks are closed."""
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
    """The identity, in place: from here on the activations have gradients, though neither input nor weights do.

    The result is no leaf and no view, so that a following in-place operation is as free as it was.
    """

    @staticmethod
    def forward(ctx: Any, activation: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
        """`activation` as it is."""
        ctx.mark_dirty(activation)
        return activation

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[None, torch.Tensor]:
        """Nothing before this point is of interest."""
        return None, gradients[0].new_zeros(())
