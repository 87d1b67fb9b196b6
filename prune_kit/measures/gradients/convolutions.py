"""The squared norm of the gradient of a convolution's parameters, for each example.

The convolution may have 1 to 3 axes, and any stride, padding, dilation and groups. It is a linear
layer on the patches of its input, so both formulas of `closed_forms` hold. The direct one unfolds
the patches of a few examples at a time. The Gram one needs no patches. The Gram matrix of all
patches is that of the padded pixels, summed over the diagonal shifts of the kernel,

    patch_p . patch_q = sum_k  pixel_{stride p + dilation k} . pixel_{stride q + dilation k}

and the sum is taken along one axis of the kernel after the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import nn
from torch.nn import functional

from prune_kit.measures.gradients.closed_forms import (
    ELEMENT_PRICE,
    Squares,
    chunks,
    dots,
    product_squares,
    square_sums,
)

Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d


@dataclass(frozen=True)
class Geometry:
    """The sizes of a convolution along each axis, and the channels of one group."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    pixels: tuple[int, ...]  # of the padded input
    positions: tuple[int, ...]  # of the output
    inputs: int
    outputs: int

    @property
    def patch(self) -> int:
        """The number of values of a patch within a group."""
        return self.inputs * prod(self.kernel)

    @property
    def direct_price(self) -> int:
        """The multiplications that `direct_squares` takes for one example and group.

        They count the product, the unfolding of the patches, and the reading of the result.
        """
        positions = prod(self.positions)
        moved = positions * self.patch * (prod(self.kernel) > 1) + self.patch * self.outputs
        return positions * self.patch * self.outputs + ELEMENT_PRICE * moved

    @property
    def gram_sums(self) -> int:
        """The additions of the sum over the diagonal shifts, for one example and group."""
        side = list(self.pixels)
        total = 0
        for axis, kernel in enumerate(self.kernel):
            side[axis] = self.positions[axis]
            total += kernel * prod(side) ** 2
        return total

    @property
    def gram_price(self) -> int:
        """The multiplications that `gram_squares` takes for one example and group.

        They count the two Gram matrices and the sum over the shifts.
        """
        pixels = prod(self.pixels) ** 2
        positions = prod(self.positions) ** 2
        return (
            pixels * self.inputs
            + positions * self.outputs
            + ELEMENT_PRICE * (self.gram_sums + positions)
        )


def convolution(
    layer: Convolution, inputs: torch.Tensor, gradient: torch.Tensor, examples: int
) -> Squares:
    """The squared gradient norms of a convolution, with any padding mode.

    Parameters
    ----------
    layer
        The convolution.
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
        If the input does not have one image per example.
    """
    if len(inputs) != examples or inputs.dim() != layer.weight.dim():
        raise ValueError(f"input {tuple(inputs.shape)} for {examples} examples")
    squares = {"weight": _weight_squares(layer, inputs, gradient)}
    if layer.bias is not None:
        squares["bias"] = square_sums(gradient.flatten(2).sum(2))
    return squares


def _weight_squares(
    layer: Convolution, inputs: torch.Tensor, gradient: torch.Tensor
) -> torch.Tensor:
    padding = _padding(layer)
    shape = _geometry(layer, inputs, gradient, padding)
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    by_gram = shape.gram_price < shape.direct_price
    if by_gram:
        form = gram_squares
        values = 2 * prod(shape.pixels) ** 2
    else:
        form = direct_squares
        values = shape.patch * (prod(shape.positions) + shape.outputs)
    parts = []
    for rows in chunks(len(inputs), shape.groups * values * inputs.element_size(), inputs.device):
        x = functional.pad(inputs[rows], padding, mode) if any(padding) else inputs[rows]
        parts.append(form(x, gradient[rows], shape))
    return torch.cat(parts)


def direct_squares(x: torch.Tensor, g: torch.Tensor, shape: Geometry) -> torch.Tensor:
    """The squared norms of the weight's gradient, by unfolding the patches.

    Parameters
    ----------
    x
        The padded images, (B, C, ...).
    g
        The gradient at the output, (B, O, ...).
    shape
        The sizes of the convolution.

    Returns
    -------
    (B,)
        The squared norms.
    """
    count = len(x)
    groups = shape.groups
    # In channels-last memory the patches keep the order of the memory, so that unfolding copies
    # long runs.
    channels_last = x.stride(1) == 1
    batch, channel, *axes = x.stride()
    slide = [step * stride for step, stride in zip(axes, shape.stride, strict=True)]
    reach = [step * dilation for step, dilation in zip(axes, shape.dilation, strict=True)]
    group = channel * shape.inputs
    if channels_last:
        sizes = (count, groups, *shape.positions, *shape.kernel, shape.inputs)
        steps = (batch, group, *slide, *reach, channel)
        patches = x.as_strided(sizes, steps).reshape(count * groups, -1, shape.patch)
    else:
        sizes = (count, groups, shape.inputs, *shape.kernel, *shape.positions)
        steps = (batch, group, channel, *reach, *slide)
        columns = x.as_strided(sizes, steps).reshape(count * groups, shape.patch, -1)
        patches = columns.transpose(1, 2)
    outputs = g.reshape(count * groups, shape.outputs, -1).transpose(1, 2)
    return product_squares(patches, outputs).view(count, groups).sum(1)


def gram_squares(x: torch.Tensor, g: torch.Tensor, shape: Geometry) -> torch.Tensor:
    """The squared norms of the weight's gradient, by Gram matrices.

    Parameters
    ----------
    x
        The padded images, (B, C, ...).
    g
        The gradient at the output, (B, O, ...).
    shape
        The sizes of the convolution.

    Returns
    -------
    (B,)
        The squared norms.
    """
    count = len(x)
    groups = shape.groups
    pixels = x.reshape(count * groups, shape.inputs, -1)
    sums = torch.bmm(pixels.transpose(1, 2), pixels).view(-1, *shape.pixels, *shape.pixels)
    dimensions = len(shape.kernel)
    for axis, kernel in enumerate(shape.kernel):
        if kernel == shape.stride[axis] == 1:
            continue
        shifted = [_shift(sums, axis, dimensions, offset, shape) for offset in range(kernel)]
        sums = shifted[0].clone(memory_format=torch.contiguous_format)
        for other in shifted[1:]:
            sums += other
    outputs = g.reshape(count * groups, shape.outputs, -1)
    gram = torch.bmm(outputs.transpose(1, 2), outputs)
    return dots(gram.flatten(1), sums.flatten(1)).view(count, groups).sum(1)


def _shift(
    sums: torch.Tensor, axis: int, dimensions: int, offset: int, shape: Geometry
) -> torch.Tensor:
    """The pairs of pixels that the kernel's element `offset` along `axis` sees.

    Both pixels of a pair are moved by the same offset.
    """
    start = offset * shape.dilation[axis]
    stop = start + (shape.positions[axis] - 1) * shape.stride[axis] + 1
    index = [slice(None)] * sums.dim()
    index[1 + axis] = index[1 + dimensions + axis] = slice(start, stop, shape.stride[axis])
    return sums[tuple(index)]


def _padding(layer: Convolution) -> list[int]:
    """The padding in the order of `functional.pad`: the last axis first, before and after it."""
    if layer.padding == "valid":
        return [0] * (2 * len(layer.kernel_size))
    padding: list[int] = []
    for axis in reversed(range(len(layer.kernel_size))):
        if layer.padding == "same":
            total = layer.dilation[axis] * (layer.kernel_size[axis] - 1)
            padding += [total // 2, total - total // 2]
        else:
            padding += [int(layer.padding[axis])] * 2
    return padding


def _geometry(
    layer: Convolution, inputs: torch.Tensor, gradient: torch.Tensor, padding: Sequence[int]
) -> Geometry:
    axes = len(layer.kernel_size)
    added = [sum(padding[2 * axis : 2 * axis + 2]) for axis in reversed(range(axes))]
    return Geometry(
        kernel=tuple(layer.kernel_size),
        stride=tuple(layer.stride),
        dilation=tuple(layer.dilation),
        groups=layer.groups,
        pixels=tuple(size + more for size, more in zip(inputs.shape[2:], added, strict=True)),
        positions=tuple(gradient.shape[2:]),
        inputs=layer.in_channels // layer.groups,
        outputs=layer.out_channels // layer.groups,
    )
