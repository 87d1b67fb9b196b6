"""The training rows as points: their pixels, or what the last layer of a network receives for them."""

import torch
from jaxtyping import Float

from prune_kit import models
from prune_kit.data.dataset import Dataset
from prune_kit.runs.cache import RecordedRun
from prune_kit.training import images
from prune_kit.training.loop import EVALUATION_BATCH


def pixels(data: Dataset, device: torch.device) -> Float[torch.Tensor, "n D"]:
    """The images of the n training rows as networks receive them without augmentation, flattened, D = C H W."""
    pictures = images.on_device(data.images, *images.normalisation(data), torch.device("cpu"))
    rows = torch.from_numpy(data.rows.training)
    height, width, channels = data.shape
    points = torch.empty(len(rows), channels * height * width, device=device)
    for part, own in zip(
        torch.split(points, images.BLOCK), torch.split(rows, images.BLOCK), strict=True
    ):
        part.copy_(pictures.batch(own).flatten(1))
    return points


def penultimate(run: RecordedRun, epoch: int) -> Float[torch.Tensor, "n D"]:
    """The penultimate layer of a run's network after `epoch`, of the n training rows, where the run was trained.

    Eval mode, no augmentation, always in float32: among neighbours the roundings of bf16 would make
    copies. Raises RunError if the weights of `epoch` were not kept.
    """
    data, device = run.inputs.data, torch.device(run.inputs.execution.device)
    pictures = images.on_device(data.images, *images.normalisation(data), device)
    rows = torch.from_numpy(data.rows.training).to(device)
    model = run.model(epoch).to(device).to(memory_format=torch.channels_last).eval()
    with torch.no_grad():
        parts = [
            models.penultimate(run.inputs.config.model, model, pictures.batch(own))
            for own in torch.split(rows, EVALUATION_BATCH[device.type])
        ]
    return torch.cat(parts)
