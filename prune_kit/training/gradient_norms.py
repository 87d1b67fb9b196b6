"""The norm of each example's own gradient, over all parameters, exact.

    g_i = || d crossentropy(f(x_i), y_i) / d w ||_2

Per-example gradients by `torch.func`, a few examples at a time; only their norms are kept.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional

from prune_kit.data.dataset import Dataset
from prune_kit.training import images
from prune_kit.training.config import Execution
from prune_kit.training.memory import keep_freed_memory

GRADIENT_BYTES = 256 * 2**20  # of per-example gradients held at once
BATCH = 256


def per_example_gradient_norms(
    model: nn.Module, inputs: Float[torch.Tensor, "B *shape"], labels: Int[torch.Tensor, "B"]
) -> Float[torch.Tensor, "B"]:
    """The L2 norm of the gradient of each example's cross-entropy with respect to all parameters of `model`.

    The network is evaluated in eval mode (batch norm by its running statistics, no dropout), since in training mode the
    examples of a batch are not independent; its mode, parameters and gradients are left as they were. The result does
    not depend on how examples are batched. Source: Data Diet, definition 2.1.
    """
    parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}
    buffers = {name: buffer.detach() for name, buffer in model.named_buffers()}

    def loss(parameters: dict[str, torch.Tensor], image: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        logits = functional_call(model, (parameters, buffers), (image[None],))
        return functional.cross_entropy(logits, label[None])

    def norm(image: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        gradients = grad(loss)(parameters, image, label)
        return torch.stack([gradient.square().sum() for gradient in gradients.values()]).sum().sqrt()

    size = sum(parameter.numel() * parameter.element_size() for parameter in parameters.values())
    with _evaluation_mode(model):
        return vmap(norm, chunk_size=max(GRADIENT_BYTES // max(size, 1), 1))(inputs, labels)


def data_gradient_norms(model: nn.Module, data: Dataset, execution: Execution) -> Float[np.ndarray, "N"]:
    """`per_example_gradient_norms` of every row of `data`, float32, as the training would present them unaugmented."""
    keep_freed_memory()
    device = torch.device(execution.device)
    pictures = images.on_device(data.images, *images.normalisation(data), device)
    labels = torch.from_numpy(data.labels).to(device)
    model = model.to(device)
    blocks = []
    for start in range(0, len(data), BATCH):
        rows = slice(start, start + BATCH)
        blocks.append(per_example_gradient_norms(model, pictures.batch(rows), labels[rows]).cpu().numpy())
    return np.concatenate(blocks)


@contextmanager
def _evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Eval mode inside the block; every module's own mode is put back after it."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
