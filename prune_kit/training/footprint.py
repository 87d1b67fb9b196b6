"""How much memory the training of one network takes, reckoned without training it."""

import torch
from torch.nn import functional

from prune_kit import models
from prune_kit.data.dataset import Dataset
from prune_kit.protocol.config import TrainConfig

WEIGHT_COPIES = 3  # the weights, their gradients, their momentum
ACTIVATION_COPIES = 2  # what the layers keep, and its gradients


def training_bytes(config: TrainConfig, data: Dataset) -> int:
    """The bytes that a network takes while it trains in fp32, about.

    They are the weights with their gradients and momentum, what the layers keep of one batch for
    the backward pass with its gradients, the images, and what a run sums up of each row. The layers
    run on tensors without content, so that this costs next to nothing. What the kernels take for
    themselves is not counted. On a CPU a training took 1 to 16 % more where that was above 100 MiB,
    and up to 11 MiB more or less below it (benchmarks/RESULTS.md).

    Parameters
    ----------
    config : the protocol; its network and its batch size count.
    data : the data set; the size of its images, its rows and its classes count.

    Raises
    ------
    ModelError
        for a network that is not known, or does not fit the images.
    """
    model = models.build(config.model, shape=data.shape, classes=data.classes, seed=0).to("meta")
    model.train()
    kept: dict[tuple[int, int], int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[id(tensor.untyped_storage()), tensor.numel()] = tensor.nbytes
        alive.append(tensor)
        return tensor

    alive: list[torch.Tensor] = []  # else another tensor might come to bear the same id
    height, width, channels = data.shape
    batch = min(config.batch_size, len(data.rows.training))
    images = torch.empty(batch, channels, height, width, device="meta")
    labels = torch.zeros(batch, dtype=torch.int64, device="meta")
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        functional.cross_entropy(model(images), labels)
    own = {id(parameter.untyped_storage()) for parameter in model.parameters()}
    activations = sum(size for (storage, _), size in kept.items() if storage not in own)
    weights = sum(parameter.nbytes for parameter in model.parameters())
    sums = 2 * len(data) * data.classes * torch.float32.itemsize  # logits, probabilities
    kept_bytes = WEIGHT_COPIES * weights + ACTIVATION_COPIES * activations
    return kept_bytes + data.images.size + sums
