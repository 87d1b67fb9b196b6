"""Batch norm's running statistics, computed anew by one pass over the training rows.

No weight is trained. An untrained network keeps the mean 0 and the variance 1 in every batch norm,
whatever its layers receive.
"""

from collections.abc import Callable, Iterable

import torch
from jaxtyping import Float
from torch import nn

from prune_kit import randomness
from prune_kit.data.dataset import Dataset
from prune_kit.measures.gradients.copies import working_copy
from prune_kit.protocol.execution import ResolvedExecution
from prune_kit.training.images import normalisation, on_device

# The private base class covers any number of axes, and classes derived from it, such as timm's.
BatchNorm = nn.modules.batchnorm._BatchNorm
# Of one batch: the values per channel, their mean (C,) and their variance (C,), in float64.
Moments = tuple[int, torch.Tensor, torch.Tensor]
# Layers above normalise by batches, so the size of a batch changes what deeper layers receive.
BATCH = 128


def calibrate(model: nn.Module, batches: Iterable[torch.Tensor]) -> None:
    """Set the running statistics of every batch norm to those of the values that it receives.

    The batches are passed through a copy of the network once. Each batch norm normalises by its
    batch, as in training. Everything else, such as dropout, works as in eval mode. The mean and the
    variance are those of all values in all batches together. The variance is unbiased, as batch
    norm keeps it. In the first layers they do not depend on how the rows are batched.

    Parameters
    ----------
    model
        The network. Only its running statistics change. A network without batch norm is not run.
    batches
        The inputs (B, ...) of each batch, on the device and in the type of the network.
    """
    probe = working_copy(model)
    received: dict[str, list[Moments]] = {}
    for name, layer in probe.named_modules():
        if isinstance(layer, BatchNorm) and layer.running_mean is not None:
            received[name] = []
            layer.register_forward_pre_hook(_recorder(received[name]), with_kwargs=True)
            # Not `train()`, which would also switch on the dropout inside a batch norm of timm.
            layer.training = True
    if not received:
        return
    with torch.no_grad():
        for batch in batches:
            probe(batch)
    for name, moments in received.items():
        if moments:  # else the network does not use the layer
            mean, variance = together(moments)
            model.get_submodule(name).get_buffer("running_mean").copy_(mean)
            model.get_submodule(name).get_buffer("running_var").copy_(variance)


def calibrate_on_data(
    model: nn.Module, data: Dataset, execution: ResolvedExecution, seed: int
) -> None:
    """`calibrate` by the training rows of a data set, unaugmented, in float32.

    Parameters
    ----------
    model
        The network. It is moved to the device of `execution`.
    data
        The data set. Its training rows go through the network in equal batches of at most 128.
    execution
        Where the pass runs.
    seed
        The seed of the order of the rows. They are shuffled because a folder sorts them by class.
    """
    device = torch.device(execution.device)
    images = on_device(data.images, *normalisation(data), device)
    rows = data.rows.training
    rng = randomness.generator(seed, "calibration")
    order = torch.from_numpy(rows)[torch.randperm(len(rows), generator=rng)]
    # Equal parts, because a short last one might be a single row.
    parts = torch.tensor_split(order.to(device), -(-len(rows) // BATCH))
    calibrate(model.to(device), (images.batch(part) for part in parts))


def together(parts: list[Moments]) -> tuple[Float[torch.Tensor, "C"], Float[torch.Tensor, "C"]]:
    """The mean and the unbiased variance of several batches, as if they were one batch.

    Parameters
    ----------
    parts
        The moments of each batch. Each counts by its number of values.

    Returns
    -------
    tuple of float64 (C,)
        The mean and the variance of each channel.
    """
    counts = [count for count, _, _ in parts]
    weights = torch.tensor(counts, dtype=torch.float64, device=parts[0][1].device)[:, None]
    means = torch.stack([mean for _, mean, _ in parts])
    variances = torch.stack([variance for _, _, variance in parts])
    mean = (weights * means).sum(0) / sum(counts)
    return mean, (weights * (variances + (means - mean) ** 2)).sum(0) / (sum(counts) - 1)


def _recorder(moments: list[Moments]) -> Callable[..., None]:
    """A forward pre-hook that appends the moments of what the layer receives."""

    def record(
        layer: nn.Module, args: tuple[torch.Tensor, ...], kwargs: dict[str, torch.Tensor]
    ) -> None:
        (values,) = (*args, *kwargs.values())
        axes = [axis for axis in range(values.dim()) if axis != 1]
        variance, mean = torch.var_mean(values, axes, correction=0)
        moments.append((values.numel() // values.shape[1], mean.double(), variance.double()))

    return record
