"""The squared norm of the gradient of a layer's parameters, for each example.

It is computed from the layer's input x and the gradient g at the layer's output, by the formulas

    linear, convolution:  G_i = sum_t g_it x_it^T,   ||G_i||^2 = sum_st (g_is . g_it) (x_is . x_it)
    normalisation:        G_i = sum_t g_it * xhat_it

over the positions t of example i. The first line gives two ways to compute ||G_i||^2: build G_i,
or build the two Gram matrices of the right-hand side (Rochette, Manoel, Tramel 2019,
https://arxiv.org/abs/1912.06015; Li et al. 2022, "ghost clipping",
https://arxiv.org/abs/2110.05679). The price of both is counted, and the cheaper one is taken, layer
by layer.
"""

from collections.abc import Callable, Iterator
from math import prod

import torch
from jaxtyping import Float, Inexact
from torch import nn
from torch.nn import functional

Squares = dict[str, torch.Tensor]  # squared norms (B,) by the parameter's name within its layer
Form = Callable[..., Squares]  # of (layer, its input, the gradient at its output, B)

BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d

# The price of reading and writing one number, in multiplications of a matrix product. It was fitted
# on a Xeon.
ELEMENT_PRICE = 16
# The largest temporary. On one CPU thread 1 to 64 MiB take the same time. On a busy machine many
# small pieces wait for each other.
CHUNK_BYTES = {"cpu": 16 * 2**20, "cuda": 256 * 2**20}


def linear(
    layer: nn.Linear, inputs: torch.Tensor, gradient: torch.Tensor, examples: int
) -> Squares:
    """The squared gradient norms of a linear layer, with any number of positions per example.

    Parameters
    ----------
    layer
        The linear layer.
    inputs
        What the layer received, (..., I), the examples in their order.
    gradient
        The gradient of the loss at the layer's output, in the output's shape.
    examples
        The number of examples, B.

    Returns
    -------
    dict of (B,)
        The squared norms of each parameter of the layer.
    """
    x = inputs.reshape(examples, -1, inputs.shape[-1])
    g = gradient.reshape(examples, -1, gradient.shape[-1])
    squares = {"weight": product_squares(x, g)}
    if layer.bias is not None:
        squares["bias"] = square_sums(g.sum(1))
    return squares


def product_squares(
    x: Float[torch.Tensor, "B T I"], g: Float[torch.Tensor, "B T O"]
) -> Float[torch.Tensor, "B"]:
    """|| sum_t g_t x_t^T ||^2 for each example, by the cheaper of its two forms.

    Parameters
    ----------
    x
        What a linear map received at each position.
    g
        The gradient at the map's output at each position.

    Returns
    -------
    (B,)
        The squared norms, 0 or more.
    """
    examples, positions, inputs = x.shape
    outputs = g.shape[2]
    if positions == 1:
        return square_sums(x) * square_sums(g)
    direct = inputs * outputs * (positions + ELEMENT_PRICE)
    gram = positions**2 * (inputs + outputs + ELEMENT_PRICE)
    values = 2 * positions**2 if gram < direct else inputs * outputs
    parts = []
    for rows in chunks(examples, values * x.element_size(), x.device):
        x_part = x[rows]
        g_part = g[rows]
        if gram < direct:
            x_gram = torch.bmm(x_part, x_part.transpose(1, 2))
            parts.append(dots(x_gram, torch.bmm(g_part, g_part.transpose(1, 2))))
        else:
            parts.append(square_sums(torch.bmm(g_part.transpose(1, 2), x_part)))
    return torch.cat(parts)


def batch_norm(
    layer: BatchNorm, inputs: torch.Tensor, gradient: torch.Tensor, examples: int
) -> Squares:
    """The squared gradient norms of a batch norm in eval mode.

    Parameters
    ----------
    layer
        The batch norm, which scales each channel by constants.
    inputs
        What the layer received, (B, C, ...).
    gradient
        The gradient of the loss at the layer's output, in the output's shape.
    examples
        The number of examples, B.

    Returns
    -------
    dict of (B,)
        The squared norms of each parameter of the layer.

    Raises
    ------
    ValueError
        If the layer is in training mode, or the input does not have one row per example.
    """
    if layer.training:
        raise ValueError("the statistics of a batch belong to all of its examples")
    mean = layer.running_mean
    variance = layer.running_var

    def normalise(x: torch.Tensor) -> torch.Tensor:
        return functional.batch_norm(x, mean, variance, None, None, False, 0, layer.eps)

    return _channels(layer, inputs, gradient, examples, normalise)


def group_norm(
    layer: nn.GroupNorm, inputs: torch.Tensor, gradient: torch.Tensor, examples: int
) -> Squares:
    """The squared gradient norms of a group norm.

    Parameters
    ----------
    layer
        The group norm.
    inputs
        What the layer received, (B, C, ...).
    gradient
        The gradient of the loss at the layer's output, in the output's shape.
    examples
        The number of examples, B.

    Returns
    -------
    dict of (B,)
        The squared norms of each parameter of the layer.

    Raises
    ------
    ValueError
        If the input does not have one row per example.
    """

    def normalise(x: torch.Tensor) -> torch.Tensor:
        return functional.group_norm(x, layer.num_groups, eps=layer.eps)

    return _channels(layer, inputs, gradient, examples, normalise)


def layer_norm(
    layer: nn.LayerNorm, inputs: torch.Tensor, gradient: torch.Tensor, examples: int
) -> Squares:
    """The squared gradient norms of a layer norm, with any number of positions per example.

    Parameters
    ----------
    layer
        The layer norm.
    inputs
        What the layer received, (..., *normalised shape), the examples in their order.
    gradient
        The gradient of the loss at the layer's output, in the output's shape.
    examples
        The number of examples, B.

    Returns
    -------
    dict of (B,)
        The squared norms of each parameter of the layer.
    """
    shape = layer.normalized_shape
    x = inputs.reshape(examples, -1, *shape)
    g = gradient.reshape(examples, -1, *shape)
    weight = []
    bias = []
    for rows in chunks(examples, x[0].numel() * x.element_size(), x.device):
        normalised = functional.layer_norm(x[rows], shape, eps=layer.eps)
        weight.append(normalised.mul_(g[rows]).sum(1))
        bias.append(g[rows].sum(1))
    return _squares_of(layer, torch.cat(weight), torch.cat(bias))


def embedding(
    layer: nn.Embedding, inputs: torch.Tensor, gradient: torch.Tensor, examples: int
) -> Squares:
    """The squared gradient norms of an embedding.

    Positions with the same token add up. Positions with the padding token do not count.

    Parameters
    ----------
    layer
        The embedding.
    inputs
        The tokens, integers, the examples in their order.
    gradient
        The gradient of the loss at the layer's output, in the output's shape.
    examples
        The number of examples, B.

    Returns
    -------
    dict of (B,)
        The squared norms of each parameter of the layer.

    Raises
    ------
    NotImplementedError
        If the layer has a `max_norm`, or scales its gradients by frequency.
    """
    if layer.max_norm is not None or layer.scale_grad_by_freq:
        raise NotImplementedError("the gradient of this embedding depends on more than its tokens")
    token = inputs.reshape(examples, -1)
    g = gradient.reshape(examples, token.shape[1], -1)
    if layer.padding_idx is not None:
        g = g * (token != layer.padding_idx)[..., None]
    parts = []
    for rows in chunks(examples, 2 * token.shape[1] ** 2 * g.element_size(), g.device):
        same = token[rows, :, None] == token[rows, None, :]
        parts.append(dots(torch.bmm(g[rows], g[rows].transpose(1, 2)), same.to(g.dtype)))
    return {"weight": torch.cat(parts)}


def square_sums(values: Inexact[torch.Tensor, "B *shape"]) -> Float[torch.Tensor, "B"]:
    """The sum of the squared magnitudes of each row, in float32 or better.

    Parameters
    ----------
    values
        The rows, of any shape, real or complex.

    Returns
    -------
    (B,)
        The sums.
    """
    if values.is_complex():
        values = torch.view_as_real(values.resolve_conj())
    flat = values.flatten(1) if values.dim() > 1 else values[:, None]
    return dots(flat, flat)


def dots(
    a: Float[torch.Tensor, "B *shape"], b: Float[torch.Tensor, "B *shape"]
) -> Float[torch.Tensor, "B"]:
    """The inner product of each row of `a` with the same row of `b`, in float32 or better.

    Parameters
    ----------
    a, b
        The rows, of any shape, equal in both.

    Returns
    -------
    (B,)
        The products.
    """
    wide = torch.promote_types(a.dtype, torch.float32)
    products: torch.Tensor = torch.linalg.vecdot(a.flatten(1).to(wide), b.flatten(1).to(wide))
    return products


def chunks(examples: int, bytes_each: int, device: torch.device) -> Iterator[slice]:
    """Slices of the examples, each small enough that its temporaries fit into `CHUNK_BYTES`.

    Parameters
    ----------
    examples
        The number of examples.
    bytes_each
        The bytes of temporaries that one example needs.
    device
        Where the temporaries are.

    Yields
    ------
    slice
        At least one example each, in their order.
    """
    step = max(CHUNK_BYTES.get(device.type, CHUNK_BYTES["cpu"]) // max(bytes_each, 1), 1)
    for start in range(0, examples, step):
        yield slice(start, min(start + step, examples))


def _channels(
    layer: nn.Module,
    inputs: torch.Tensor,
    gradient: torch.Tensor,
    examples: int,
    normalise: Callable[[torch.Tensor], torch.Tensor],
) -> Squares:
    """The squares of a scale and a shift of each channel of (B, C, ...), after `normalise`."""
    if len(inputs) != examples:
        raise ValueError(f"{len(inputs)} rows for {examples} examples")
    positions = tuple(range(2, inputs.dim()))
    weight = []
    bias = []
    for rows in chunks(examples, 2 * prod(inputs.shape[1:]) * inputs.element_size(), inputs.device):
        g = gradient[rows]
        scaled = normalise(inputs[rows]).mul_(g)
        weight.append(scaled.sum(positions) if positions else scaled)
        bias.append(g.sum(positions) if positions else g)
    return _squares_of(layer, torch.cat(weight), torch.cat(bias))


def _squares_of(layer: nn.Module, weight: torch.Tensor, bias: torch.Tensor) -> Squares:
    """The squares of the gradients (B, ...) of the weight and the bias that the layer has."""
    gradients = {"weight": weight, "bias": bias}
    return {
        name: square_sums(gradient)
        for name, gradient in gradients.items()
        if getattr(layer, name, None) is not None
    }
