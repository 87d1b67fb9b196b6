"""Squared per-example gradient norms without a closed form, in the order of their price.

1. One layer's own vector-Jacobian product, example by example, from its input and the gradient at
its output. 2. `torch.func` per-example gradients of the whole network, of the parameters in
question alone. 3. One forward and backward pass per example: the definition.
"""

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.func import functional_call, grad, vjp, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from prune_kit.measures.gradients.closed_forms import Squares, square_sums
from prune_kit.measures.gradients.copies import forget_caches
from prune_kit.measures.gradients.passage import Call, cross_entropy

GRADIENT_BYTES = 256 * 2**20  # of per-example gradients held at once
Rows = dict[
    int | str, int
]  # of a layer's tensors, by position or keyword: their length when there is one example


def row_counts(call: Call) -> Rows:
    """The lengths of a layer's tensors, in a pass of one example."""
    return {
        key: len(value)
        for key, value in _named(call).items()
        if isinstance(value, torch.Tensor) and value.dim()
    }


def layer_squares(call: Call, gradient: torch.Tensor, examples: int, rows: Rows) -> Squares:
    """The squares of one layer's own parameters, by the layer's vector-Jacobian product under `vmap`.

    An input whose length grows with the batch is cut into the examples' parts, in their order.
    """
    layer = call.layer
    parameters = {name: layer.get_parameter(name).detach() for name in call.names}
    named = _named(call)
    cut: dict[int | str, torch.Tensor] = {}
    for key, value in named.items():
        if key in rows and len(value) == examples * rows[key]:
            cut[key] = value.detach().reshape(examples, rows[key], *value.shape[1:])

    def squares(parts: dict[int | str, torch.Tensor], gradient: torch.Tensor) -> Squares:
        tensors = {**named, **parts}
        args = tuple(tensors[position] for position in range(len(call.args)))
        kwargs = {key: tensors[key] for key in call.kwargs}
        _, pull_back, *_ = vjp(lambda own: functional_call(layer, own, args, kwargs), parameters)
        (gradients,) = pull_back(gradient)
        return {name: square_sums(gradients[name][None])[0] for name in gradients}

    grouped = gradient.reshape(examples, len(gradient) // examples, *gradient.shape[1:])
    with _transformable():
        result: Squares = vmap(squares, chunk_size=_examples_at_once(parameters))(cut, grouped)
    return result


def network_squares(
    copied: nn.Module, names: Iterable[str], inputs: torch.Tensor, labels: torch.Tensor
) -> Squares:
    """The squares (B,) of the parameters `names`, by per-example gradients of the whole network under `vmap`."""
    parameters = {name: copied.get_parameter(name).detach() for name in names}

    def loss(
        parameters: dict[str, torch.Tensor], image: torch.Tensor, label: torch.Tensor
    ) -> torch.Tensor:
        return cross_entropy(functional_call(copied, parameters, (image[None],)), label[None])[0]

    def squares(image: torch.Tensor, label: torch.Tensor) -> Squares:
        gradients = grad(loss)(parameters, image, label)
        return {name: square_sums(gradients[name][None])[0] for name in gradients}

    step = max(_examples_at_once(parameters), 2)
    parts = []
    for start in range(0, len(inputs), step):
        forget_caches(copied)
        rows = (
            slice(start, start + step) if start + 1 < len(inputs) else [start, start]
        )  # never one; see below
        with _transformable():
            parts.append(vmap(squares)(inputs[rows], labels[rows]))
    forget_caches(copied)
    return {name: torch.cat([part[name] for part in parts])[: len(inputs)] for name in parameters}


def single_squares(copied: nn.Module, inputs: torch.Tensor, labels: torch.Tensor) -> Squares:
    """The squares (B,) of all parameters, one example at a time. This is the definition.

    Each example is accompanied by itself, with no part in the loss: for a batch of one, batch
    norm's gradient in eval mode is wrong on the CPU when a transposition follows (torch 2.14; the
    strides of a batch of one are ambiguous).
    """
    parameters = {
        name: parameter
        for name, parameter in copied.named_parameters()
        if parameter.is_floating_point()
    }
    squares: Squares = {}
    try:
        for parameter in parameters.values():
            parameter.requires_grad_(True)
        for row in range(len(inputs)):
            forget_caches(copied)
            with torch.enable_grad():
                loss = cross_entropy(copied(inputs[[row, row]]), labels[[row, row]])[0]
                gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
            for name, gradient in zip(parameters, gradients, strict=True):
                if gradient is not None:
                    square = square_sums(gradient[None])
                    squares.setdefault(name, square.new_zeros(len(inputs)))[row] = square[0]
    finally:
        for parameter in parameters.values():
            parameter.requires_grad_(False)
        forget_caches(copied)
    return squares


@contextmanager
def _transformable() -> Iterator[None]:
    """Attention by plain products, since `vmap` goes through its fused kernels example by example, and says so."""
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
