"""The squared norm of a convolution's per-example gradient: any stride, padding, dilation and groups, in 1 to 3 D.

A convolution is a linear layer on the patches of its input, so the two forms of `closed_forms`
hold. The direct one unfolds the patches of a few examples at a time. The Gram one needs no patches:
the Gram matrix of all patches is that of the padded pixels, summed over the diagonal shifts of the
kernel,

    patch_p . patch_q = sum_k  pixel_{stride p + dilation k} . pixel_{stride q + dilation k}

one axis of the kernel after the other.
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
    """How a convolution slides: the sizes along each axis of the image, and the channels of one group."""

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
        """How many numbers a patch has within a group."""
        return self.inputs * prod(self.kernel)

    @property
    def direct_price(self) -> int:
        """Multiplications for one example and group: the product, unfolding the patches, and reading the result."""
        positions = prod(self.positions)
        moved = positions * self.patch * (prod(self.kernel) > 1) + self.patch * self.outputs
        return positions * self.patch * self.outputs + ELEMENT_PRICE * moved

    @property
    def gram_sums(self) -> int:
        """Additions of the sum over the diagonal shifts, for one example and group."""
        side, total = list(self.pixels), 0
        for axis, kernel in enumerate(self.kernel):
            side[axis] = self.positions[axis]
            total += kernel * prod(side) ** 2
        return total

    @property
    def gram_price(self) -> int:
        """Multiplications for one example and group: the two Gram matrices, and the sum over the shifts."""
        pixels, positions = prod(self.pixels) ** 2, prod(self.positions) ** 2
        return (
            pixels * self.inputs
            + positions * self.outputs
            + ELEMENT_PRICE * (self.gram_sums + positions)
        )


def convolution(
    layer: Convolution, inputs: torch.Tensor, gradient: torch.Tensor, examples: int
) -> Squares:
    """Of a convolution of (B, C, ...) images with any padding mode."""
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
    values = (
        2 * prod(shape.pixels) ** 2
        if by_gram
        else shape.patch * (prod(shape.positions) + shape.outputs)
    )
    form = gram_squares if by_gram else direct_squares
    parts = []
    for rows in chunks(len(inputs), shape.groups * values * inputs.element_size(), inputs.device):
        x = functional.pad(inputs[rows], padding, mode) if any(padding) else inputs[rows]
        parts.append(form(x, gradient[rows], shape))
    return torch.cat(parts)


def direct_squares(x: torch.Tensor, g: torch.Tensor, shape: Geometry) -> torch.Tensor:
    """(B,) from padded images (B, C, ...) and output gradients (B, O, ...), by unfolding the patches."""
    count, groups = len(x), shape.groups
    last = (
        x.stride(1) == 1
    )  # channels-last memory: keep the order of the memory, so that unfolding copies long runs
    batch, channel, axes = x.stride(0), x.stride(1), x.stride()[2:]
    slide = [step * stride for step, stride in zip(axes, shape.stride, strict=True)]
    reach = [step * dilation for step, dilation in zip(axes, shape.dilation, strict=True)]
    group = channel * shape.inputs
    if last:
        sizes = (count, groups, *shape.positions, *shape.kernel, shape.inputs)
        patches = x.as_strided(sizes, (batch, group, *slide, *reach, channel)).reshape(
            count * groups, -1, shape.patch
        )
    else:
        sizes = (count, groups, shape.inputs, *shape.kernel, *shape.positions)
        steps = (batch, group, channel, *reach, *slide)
        patches = (
            x.as_strided(sizes, steps).reshape(count * groups, shape.patch, -1).transpose(1, 2)
        )
    outputs = g.reshape(count * groups, shape.outputs, -1).transpose(1, 2)
    return product_squares(patches, outputs).view(count, groups).sum(1)


def gram_squares(x: torch.Tensor, g: torch.Tensor, shape: Geometry) -> torch.Tensor:
    """(B,) from padded images (B, C, ...) and output gradients (B, O, ...), by Gram matrices."""
    count, groups = len(x), shape.groups
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
    """The pairs of pixels that the kernel's element `offset` along `axis` sees, both pixels moved alike."""
    start = offset * shape.dilation[axis]
    stop = start + (shape.positions[axis] - 1) * shape.stride[axis] + 1
    index = [slice(None)] * sums.dim()
    index[1 + axis] = index[1 + dimensions + axis] = slice(start, stop, shape.stride[axis])
    return sums[tuple(index)]


def _padding(layer: Convolution) -> list[int]:
    """In the order of `functional.pad`: the last axis first, before and after."""
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
    added = [
        padding[2 * (axes - 1 - axis)] + padding[2 * (axes - 1 - axis) + 1] for axis in range(axes)
    ]
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
