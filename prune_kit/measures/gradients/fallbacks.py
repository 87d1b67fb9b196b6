"""Squared per-example gradient norms without a closed form, in three ways, the cheapest first.

1. The vector-Jacobian product of one layer, example by example, from the layer's input and the
   gradient at its output (`layer_squares`).
2. Per-example gradients of the whole network by `torch.func`, for some parameters
   (`network_squares`).
3. One forward and backward pass per example, which is the definition (`single_squares`).
"""

import copy
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.func import functional_call, grad, vjp, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from prune_kit.measures.gradients import losses
from prune_kit.measures.gradients.closed_forms import Squares, square_sums
from prune_kit.measures.gradients.copies import forget_caches
from prune_kit.measures.gradients.passes import Call
from prune_kit.measures.gradients.programs import Guard, StateWritten

GRADIENT_BYTES = 256 * 2**20  # the per-example gradients that are held at once
# The lengths of a layer's tensors in a pass of one example, by position or keyword.
Rows = dict[int | str, int]


def row_counts(call: Call) -> Rows:
    """The lengths of a layer's tensors in a pass of one example.

    Parameters
    ----------
    call
        The call of the layer.

    Returns
    -------
    dict
        The lengths, by position or keyword. Values that are not tensors are left out.
    """
    return {
        key: len(value)
        for key, value in _named(call).items()
        if isinstance(value, torch.Tensor) and value.dim()
    }


def layer_squares(call: Call, gradient: torch.Tensor, examples: int, rows: Rows) -> Squares:
    """The squared gradient norms of one layer's parameters, by its vector-Jacobian product.

    The product runs under `vmap`. An input whose length grows with the batch is cut into the
    examples' parts, in their order.

    Parameters
    ----------
    call
        The call of the layer, for a batch.
    gradient
        The gradient of the loss at the layer's output.
    examples
        The number of examples, B.
    rows
        The lengths of the layer's tensors for one example (`row_counts`).

    Returns
    -------
    dict of (B,)
        The squared norms of each parameter in `call.names`.
    """
    alone = _WithoutHooks(call.layer)
    parameters = {name: call.layer.get_parameter(name).detach() for name in call.names}
    parameters = {f"layer.{name}": parameter for name, parameter in parameters.items()}
    named = _named(call)
    by_example: dict[int | str, torch.Tensor] = {}
    for key, value in named.items():
        if key in rows and len(value) == examples * rows[key]:
            by_example[key] = value.detach().reshape(examples, rows[key], *value.shape[1:])

    def squares(parts: dict[int | str, torch.Tensor], gradient: torch.Tensor) -> Squares:
        tensors = {**named, **parts}
        args = tuple(tensors[position] for position in range(len(call.args)))
        kwargs = {key: tensors[key] for key in call.kwargs}
        _, product, *_ = vjp(lambda own: functional_call(alone, own, args, kwargs), parameters)
        (gradients,) = product(gradient)
        return {name: square_sums(gradients[f"layer.{name}"][None])[0] for name in call.names}

    grouped = gradient.reshape(examples, len(gradient) // examples, *gradient.shape[1:])
    with _transformable():
        vectorised = vmap(squares, chunk_size=_examples_at_once(parameters))
        result: Squares = vectorised(by_example, grouped)
    return result


def network_squares(
    copied: nn.Module, names: Iterable[str], inputs: torch.Tensor, labels: torch.Tensor
) -> Squares:
    """The squared gradient norms of some parameters, by `torch.func` over the whole network.

    Parameters
    ----------
    copied
        A working copy of the network.
    names
        The full names of the parameters.
    inputs
        The inputs (B, ...).
    labels
        The labels (B,).

    Returns
    -------
    dict of (B,)
        The squared norms by the parameter's full name.

    Raises
    ------
    RunError
        If the network does not return logits (B, classes).
    """
    # Copies, because a network may write into them.
    parameters = {name: copied.get_parameter(name).detach().clone() for name in names}

    def loss(
        parameters: dict[str, torch.Tensor], image: torch.Tensor, label: torch.Tensor
    ) -> torch.Tensor:
        return losses.cross_entropy(
            functional_call(copied, parameters, (image[None],)), label[None]
        )[0]

    def squares(image: torch.Tensor, label: torch.Tensor) -> Squares:
        gradients = grad(loss)(parameters, image, label)
        return {name: square_sums(gradients[name][None])[0] for name in gradients}

    step = max(_examples_at_once(parameters), 2)
    parts = []
    for start in range(0, len(inputs), step):
        forget_caches(copied)
        # A last single example is doubled, for the reason that `single_squares` gives.
        single = start + 1 == len(inputs)
        rows = [start, start] if single else slice(start, start + step)
        with _transformable():
            parts.append(vmap(squares)(inputs[rows].clone(), labels[rows]))
    forget_caches(copied)
    return {name: torch.cat([part[name] for part in parts])[: len(inputs)] for name in parameters}


def single_squares(copied: nn.Module, inputs: torch.Tensor, labels: torch.Tensor) -> Squares:
    """The squared gradient norms of all parameters, one example at a time.

    This is the definition. What the network writes into its state is undone after each example.
    Each example is passed twice, and only the first counts in the loss.
    For a batch of one, the gradient of a batch norm in eval mode is wrong on the CPU when a
    transposition follows (torch 2.14; the strides of a batch of one are ambiguous).

    Parameters
    ----------
    copied
        A working copy of the network.
    inputs
        The inputs (B, ...).
    labels
        The labels (B,).

    Returns
    -------
    dict of (B,)
        The squared norms by the parameter's full name. A parameter that does not affect the loss of
        any example is left out.

    Raises
    ------
    RunError
        If the network does not return logits (B, classes), or a label names no class.
    """
    try:
        return _single_squares(copied, inputs, labels, Guard(copied.parameters(), copied.buffers()))
    except StateWritten:
        private = copy.deepcopy(copied)
        state = [*private.parameters(), *private.buffers()]
        return _single_squares(private, inputs, labels, Guard((), state))


def _single_squares(
    copied: nn.Module, inputs: torch.Tensor, labels: torch.Tensor, guard: Guard
) -> Squares:
    """`single_squares` of a copy whose state is the same before each example."""
    parameters = {
        name: parameter
        for name, parameter in copied.named_parameters()
        if parameter.is_floating_point() or parameter.is_complex()
    }
    buffers = [(module, dict(module._buffers)) for module in copied.modules()]
    squares: Squares = {}
    try:
        for parameter in parameters.values():
            parameter.requires_grad_(True)
        for row in range(len(inputs)):
            forget_caches(copied)
            pair = inputs[[row, row]].requires_grad_(inputs.requires_grad)
            with torch.enable_grad():
                with guard:
                    logits = copied(pair)
                losses.refuse_output(logits, 2)
                losses.refuse_labels(labels, logits.shape[1])
                loss = losses.cross_entropy(logits, labels[[row, row]])[0]
                # Not `torch.autograd.grad`, which gradient checkpointing may refuse.
                if loss.requires_grad:
                    loss.backward()  # type: ignore[no-untyped-call]
            for name, parameter in parameters.items():
                if parameter.grad is not None:
                    square = _square(parameter.grad)
                    squares.setdefault(name, square.new_zeros(len(inputs)))[row] = square
                    parameter.grad = None
            guard.restore()
            for module, before in buffers:
                module._buffers.update(before)
    finally:
        for parameter in parameters.values():
            parameter.requires_grad_(False)
            parameter.grad = None
        forget_caches(copied)
    return squares


def _square(gradient: torch.Tensor) -> torch.Tensor:
    """The squared norm of a gradient; a sparse one holds a row more than once."""
    if gradient.is_sparse:
        gradient = gradient.coalesce().values()
    if gradient.layout is not torch.strided:
        gradient = gradient.to_dense()
    return square_sums(gradient[None])[0]


class _WithoutHooks(nn.Module):
    """Calls a layer without its hooks."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the layer computes."""
        return self.layer.forward(*args, **kwargs)


@contextmanager
def _transformable() -> Iterator[None]:
    """Compute attention by plain products.

    `vmap` would run the fused kernels example by example, and warn about it.
    """
    with warnings.catch_warnings(), sdpa_kernel(SDPBackend.MATH):
        warnings.filterwarnings("ignore", "There is a performance drop", UserWarning)
        yield


def _named(call: Call) -> dict[int | str, Any]:
    named: dict[int | str, Any] = dict(enumerate(call.args))
    named.update(call.kwargs)
    return named


def _examples_at_once(parameters: dict[str, torch.Tensor]) -> int:
    size = sum(parameter.numel() * parameter.element_size() for parameter in parameters.values())
    return max(GRADIENT_BYTES // max(size, 1), 1)
