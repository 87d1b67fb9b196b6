"""The training rows as points: their pixels, or the input of the last layer of a network."""

import torch
from jaxtyping import Float

from prune_kit import models
from prune_kit.data.dataset import Dataset
from prune_kit.runs.cache import RecordedRun
from prune_kit.training.images import BLOCK, normalisation, on_device
from prune_kit.training.loop import EVALUATION_BATCH


def pixels(data: Dataset, device: torch.device) -> Float[torch.Tensor, "n D"]:
    """The images of the training rows as networks receive them, unaugmented and flattened.

    Parameters
    ----------
    data
        The data set, with n training rows.
    device
        The device of the result.

    Returns
    -------
    (n, D)
        The normalised pixels, float32, D = C H W.
    """
    images = on_device(data.images, *normalisation(data), torch.device("cpu"))
    rows = torch.from_numpy(data.rows.training)
    height, width, channels = data.shape
    points = torch.empty(len(rows), channels * height * width, device=device)
    parts = torch.split(points, BLOCK)
    for part, part_rows in zip(parts, torch.split(rows, BLOCK), strict=True):
        part.copy_(images.batch(part_rows).flatten(1))
    return points


def penultimate(run: RecordedRun, epoch: int) -> Float[torch.Tensor, "n D"]:
    """The input of the last layer of a run's network, for the training rows.

    The network is in eval mode, the images are unaugmented, and the pass is in float32. In bf16
    neighbours would be rounded to the same point.

    Parameters
    ----------
    run
        The run, on data with n training rows.
    epoch
        After how many epochs, 0 for the untrained network.

    Returns
    -------
    (n, D)
        The penultimate representations, on the device on which the run was trained.

    Raises
    ------
    RunError
        If the weights of `epoch` were not kept.
    """
    data = run.inputs.data
    device = torch.device(run.inputs.execution.device)
    images = on_device(data.images, *normalisation(data), device)
    rows = torch.from_numpy(data.rows.training).to(device)
    model = run.model(epoch).to(device).to(memory_format=torch.channels_last).eval()
    with torch.no_grad():
        parts = [
            models.penultimate(run.inputs.config.model, model, images.batch(part))
            for part in torch.split(rows, EVALUATION_BATCH[device.type])
        ]
    return torch.cat(parts)
