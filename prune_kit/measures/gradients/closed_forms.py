"""The squared norm of a layer's per-example gradient, from the layer's input and the gradient at its output.

    linear, convolution:  G_i = sum_t g_it x_it^T      ||G_i||^2 = sum_st (g_is . g_it) (x_is . x_it)
    normalisation:        G_i = sum_t g_it * xhat_it

over the positions t of example i. The first form has two prices: build G_i, or build the two Gram
matrices of its right-hand side (Rochette, Manoel, Tramel 2019, https://arxiv.org/abs/1912.06015; Li
et al. 2022, "ghost clipping", https://arxiv.org/abs/2110.05679). Both are counted, and the cheaper
one is taken, layer by layer.
"""

from collections.abc import Callable, Iterator
from math import prod

import torch
from jaxtyping import Float
from torch import nn
from torch.nn import functional

Squares = dict[str, torch.Tensor]  # by the parameter's name within its layer: (B,)
Form = Callable[..., Squares]  # (layer, its input, the gradient at its output, B)

BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d

# of reading and writing one number, in multiplications of a matrix product; fitted on a Xeon
ELEMENT_PRICE = 16
# Of temporaries. On one CPU thread 1 to 64 MiB cost the same; on a busy machine many small pieces
# wait for each other.
CHUNK_BYTES = {"cpu": 16 * 2**20, "cuda": 256 * 2**20}


def linear(
    layer: nn.Linear, inputs: torch.Tensor, gradient: torch.Tensor, examples: int
) -> Squares:
    """Of a linear layer, on any number of positions per example."""
    x = inputs.reshape(examples, -1, inputs.shape[-1])
    g = gradient.reshape(examples, -1, gradient.shape[-1])
    squares = {"weight": product_squares(x, g)}
    if layer.bias is not None:
        squares["bias"] = square_sums(g.sum(1))
    return squares


def product_squares(
    x: Float[torch.Tensor, "B T I"], g: Float[torch.Tensor, "B T O"]
) -> Float[torch.Tensor, "B"]:
    """|| sum_t g_t x_t^T ||^2 for each of B, by the cheaper of its two forms."""
    examples, positions, inputs = x.shape
    outputs = g.shape[2]
    if positions == 1:
        return square_sums(x) * square_sums(g)
    direct = inputs * outputs * (positions + ELEMENT_PRICE)
    gram = positions**2 * (inputs + outputs + ELEMENT_PRICE)
    values = 2 * positions**2 if gram < direct else inputs * outputs
    parts = []
    for rows in chunks(examples, values * x.element_size(), x.device):
        a, b = x[rows], g[rows]
        if gram < direct:
            parts.append(dots(torch.bmm(a, a.transpose(1, 2)), torch.bmm(b, b.transpose(1, 2))))
        else:
            parts.append(square_sums(torch.bmm(b.transpose(1, 2), a)))
    return torch.cat(parts)


def batch_norm(
    layer: BatchNorm, inputs: torch.Tensor, gradient: torch.Tensor, examples: int
) -> Squares:
    """Of a batch norm in eval mode, which scales each channel by constants."""
    mean, variance, eps = layer.running_mean, layer.running_var, layer.eps
    return _channels(
        layer,
        inputs,
        gradient,
        examples,
        lambda x: functional.batch_norm(x, mean, variance, None, None, False, 0, eps),
    )


def group_norm(
    layer: nn.GroupNorm, inputs: torch.Tensor, gradient: torch.Tensor, examples: int
) -> Squares:
    """Of a group norm."""
    return _channels(
        layer,
        inputs,
        gradient,
        examples,
        lambda x: functional.group_norm(x, layer.num_groups, eps=layer.eps),
    )


def layer_norm(
    layer: nn.LayerNorm, inputs: torch.Tensor, gradient: torch.Tensor, examples: int
) -> Squares:
    """Of a layer norm, on any number of positions per example."""
    shape = layer.normalized_shape
    x, g = (tensor.reshape(examples, -1, *shape) for tensor in (inputs, gradient))
    weight, bias = [], []
    for rows in chunks(examples, x[0].numel() * x.element_size(), x.device):
        normalised = functional.layer_norm(x[rows], shape, eps=layer.eps)
        weight.append(normalised.mul_(g[rows]).sum(1))
        bias.append(g[rows].sum(1))
    return _present(layer, torch.cat(weight), torch.cat(bias))


def embedding(
    layer: nn.Embedding, inputs: torch.Tensor, gradient: torch.Tensor, examples: int
) -> Squares:
    """Of an embedding: positions with the same token add up, those with the padding token do not count."""
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


def square_sums(values: Float[torch.Tensor, "B *shape"]) -> Float[torch.Tensor, "B"]:
    """The sum of squares of each row, in float32 or better."""
    flat = values.flatten(1)
    return dots(flat, flat)


def dots(
    a: Float[torch.Tensor, "B *shape"], b: Float[torch.Tensor, "B *shape"]
) -> Float[torch.Tensor, "B"]:
    """The inner product of each row of `a` with that of `b`, in float32 or better."""
    wide = torch.promote_types(a.dtype, torch.float32)
    products: torch.Tensor = torch.linalg.vecdot(a.flatten(1).to(wide), b.flatten(1).to(wide))
    return products


def chunks(examples: int, bytes_each: int, device: torch.device) -> Iterator[slice]:
    """Cut 0 .. `examples` so that the temporaries of a piece stay under the device's `CHUNK_BYTES`."""
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
    """Of a scale and a shift for each channel of (B, C, ...), after `normalise`."""
    if len(inputs) != examples:
        raise ValueError(f"{len(inputs)} rows for {examples} examples")
    positions = tuple(range(2, inputs.dim()))
    weight, bias = [], []
    for rows in chunks(examples, 2 * prod(inputs.shape[1:]) * inputs.element_size(), inputs.device):
        g = gradient[rows]
        scaled = normalise(inputs[rows]).mul_(g)
        weight.append(scaled.sum(positions) if positions else scaled)
        bias.append(g.sum(positions) if positions else g)
    return _present(layer, torch.cat(weight), torch.cat(bias))


def _present(layer: nn.Module, weight: torch.Tensor, bias: torch.Tensor) -> Squares:
    """The squares of the gradients (B, ...) of those of the two parameters that the layer has."""
    both = {"weight": weight, "bias": bias}
    return {
        name: square_sums(own)
        for name, own in both.items()
        if getattr(layer, name, None) is not None
    }
