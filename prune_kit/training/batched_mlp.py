"""The forward and backward pass of several perceptrons at once, in batched matrix products.

The parameters of G perceptrons are stacked (G, ...), and so are their batches.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

Tensors = dict[str, torch.Tensor]


def mlp_logits(
    parameters: Tensors, linear: tuple[str, ...], batch: torch.Tensor, precision: str
) -> torch.Tensor:
    """Give the logits (G, B, C); the parameters are those of `mlp_gradients`."""
    with _products_in(precision):
        return _forward(parameters, linear, batch)[-1]


def mlp_gradients(
    parameters: Tensors,
    linear: tuple[str, ...],
    batch: torch.Tensor,
    labels: torch.Tensor,
    precision: str,
) -> Tensors:
    """Give the gradients of the mean cross-entropy of each perceptron over its batch.

    Parameters
    ----------
    parameters : weights and biases by name, stacked (G, ...).
    linear : the names of the linear layers, in order.
    batch : (G, B, ...) the images that each perceptron sees.
    labels : (G, B) of these.
    precision : "bf16" multiplies matrices in bf16; sums stay in float32.

    Returns
    -------
    A tensor for each of the parameters, of its shape.
    """
    gradients: Tensors = {}
    with _products_in(precision):
        *received, output = _forward(parameters, linear, batch)
        error = output.softmax(2)
        error.scatter_add_(
            2, labels.unsqueeze(2), error.new_full((), -1.0).expand(*labels.shape, 1)
        )
        error /= labels.shape[1]
        for name, inputs in zip(reversed(linear), reversed(received), strict=True):
            gradients[f"{name}.bias"] = error.sum(1)
            gradients[f"{name}.weight"] = _product(error.transpose(1, 2), inputs)
            if name != linear[0]:
                error = _product(error, parameters[f"{name}.weight"])
                # the inputs are what a ReLU gave
                error = torch.ops.aten.threshold_backward(error, inputs, 0)
    return gradients


def _forward(
    parameters: Tensors, linear: tuple[str, ...], batch: torch.Tensor
) -> list[torch.Tensor]:
    """What every linear layer receives, (G, B, in), and last the logits (G, B, C)."""
    received = [batch.flatten(2)]
    for place, name in enumerate(linear, start=1):
        weight = parameters[f"{name}.weight"]
        bias = parameters[f"{name}.bias"]
        output = _affine(received[-1], weight.transpose(1, 2), bias)
        received.append(output.relu_() if place < len(linear) else output)
    return received


def _product(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """The products (G, n, m) of matrices (G, n, k) and (G, k, m)."""
    if not _one_by_one(one):
        return torch.bmm(one, other)
    products = one.new_empty(len(one), one.shape[1], other.shape[2])
    for place, product in enumerate(products):
        torch.mm(one[place], other[place], out=product)
    return products


def _affine(inputs: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """The products (G, B, m) of inputs (G, B, k) and weights (G, k, m), plus biases (G, m)."""
    if not _one_by_one(inputs):
        return torch.baddbmm(bias.unsqueeze(1), inputs, weight)
    sums = inputs.new_empty(len(inputs), inputs.shape[1], weight.shape[2])
    for place, out in enumerate(sums):
        torch.addmm(bias[place], inputs[place], weight[place], out=out)
    return sums


def _one_by_one(matrices: torch.Tensor) -> bool:
    """Whether products of stacked matrices are made one after the other.

    On a CPU in fp32 they are, for several threads may round a batch of products otherwise than a
    product alone. A single one is too, for the units for bf16 would not make it in a batch.
    """
    in_fp32 = not matrices.is_cuda and torch.get_float32_matmul_precision() == "highest"
    return len(matrices) == 1 or in_fp32


@contextmanager
def _products_in(precision: str) -> Iterator[None]:
    """Let units for bf16 multiply float32 matrices inside the block, if the precision is bf16."""
    before = torch.get_float32_matmul_precision()
    if precision == "bf16":
        torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
