"""Batch norm's running statistics, computed anew by one pass over the training rows; nothing is trained.

An untrained network has kept the mean 0 and the variance 1 in every batch norm, whatever its layers
really receive.
"""

from collections.abc import Callable, Iterable

import torch
from jaxtyping import Float
from torch import nn

from prune_kit import randomness
from prune_kit.data.dataset import Dataset
from prune_kit.measures.gradients.copies import working_copy
from prune_kit.protocol.execution import ResolvedExecution
from prune_kit.training import images

BatchNorm = (
    nn.modules.batchnorm._BatchNorm
)  # of any number of axes, and what is derived from it, as timm's
Moments = tuple[
    int, torch.Tensor, torch.Tensor
]  # of one batch: values per channel; mean and variance (C,), float64
BATCH = (
    128  # what a deeper layer receives depends on it, since the layers above normalise by batches
)


def calibrate(model: nn.Module, batches: Iterable[torch.Tensor]) -> None:
    """Set the running statistics of every batch norm to those of what it receives; nothing else of `model` changes.

    One pass, in which each batch norm normalises by its batch, as in training; all else, such as
    dropout, is as in eval mode. Mean and variance are those of all values in all batches together,
    the variance unbiased, as batch norm keeps it. In the first layers they do not depend on the
    batches. A network without batch norm is not even run.
    """
    probe, received = working_copy(model), dict[str, list[Moments]]()
    for name, layer in probe.named_modules():
        if isinstance(layer, BatchNorm) and layer.running_mean is not None:
            received[name] = []
            layer.register_forward_pre_hook(_noting(received[name]), with_kwargs=True)
            layer.training = (
                True  # of the layer alone: one of timm's has an activation and a dropout within
            )
    if not received:
        return
    with torch.no_grad():
        for batch in batches:
            probe(batch)
    for name, parts in received.items():
        if parts:  # else the network does not use the layer
            mean, variance = together(parts)
            model.get_submodule(name).get_buffer("running_mean").copy_(mean)
            model.get_submodule(name).get_buffer("running_var").copy_(variance)


def calibrate_on_data(
    model: nn.Module, data: Dataset, execution: ResolvedExecution, seed: int
) -> None:
    """`calibrate` by the training rows, unaugmented, in float32, with `model` on the device of `execution`.

    The rows are shuffled by `seed`, since those of a folder are sorted by class, and go in equal
    batches of up to 128.
    """
    device = torch.device(execution.device)
    pictures = images.on_device(data.images, *images.normalisation(data), device)
    rows = data.rows.training
    order = torch.from_numpy(rows)[
        torch.randperm(len(rows), generator=randomness.generator(seed, "calibration"))
    ]
    parts = torch.tensor_split(
        order.to(device), -(-len(rows) // BATCH)
    )  # no short one, which might be a single row
    calibrate(model.to(device), (pictures.batch(part) for part in parts))


def together(parts: list[Moments]) -> tuple[Float[torch.Tensor, "C"], Float[torch.Tensor, "C"]]:
    """Mean and unbiased variance of several batches as if they were one, each counted by its size."""
    counts = [count for count, _, _ in parts]
    weights = torch.tensor(counts, dtype=torch.float64, device=parts[0][1].device)[:, None]
    means, variances = (
        torch.stack(moments) for moments in zip(*(moments for _, *moments in parts), strict=True)
    )
    mean = (weights * means).sum(0) / sum(counts)
    return mean, (weights * (variances + (means - mean) ** 2)).sum(0) / (sum(counts) - 1)


def _noting(parts: list[Moments]) -> Callable[..., None]:
    """A forward pre-hook that appends the moments of what the layer receives."""

    def note(
        layer: nn.Module, args: tuple[torch.Tensor, ...], kwargs: dict[str, torch.Tensor]
    ) -> None:
        (values,) = (*args, *kwargs.values())
        axes = [axis for axis in range(values.dim()) if axis != 1]
        variance, mean = torch.var_mean(values, axes, correction=0)
        parts.append((values.numel() // values.shape[1], mean.double(), variance.double()))

    return note
