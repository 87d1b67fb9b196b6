"""Many networks at once, of one architecture and protocol; each has its own rows, seed and order.

G networks train in one batched computation over stacked parameters. The forward and backward pass
of plain perceptrons (linear layers and ReLU) is written out in batched matrix products. Everything
else goes through `torch.func`. The result is what each network would have become alone.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import nn
from torch.nn import functional

from prune_kit import randomness
from prune_kit.protocol.config import TrainConfig
from prune_kit.training import loop, optimizers, schedule
from prune_kit.training.batched_mlp import Tensors, mlp_gradients, mlp_logits
from prune_kit.training.images import (
    Augmentation,
    DeviceImages,
    PreparedImages,
    draw_augmentation,
)

VECTORS = 64  # numbers that fill whole vectors on every CPU
# images of each perceptron at a time, however many perceptrons: the bits depend on it
MLP_EVALUATION_BATCH = 500


@dataclass(frozen=True, eq=False)
class StackedModels:
    """G networks as one. Every tensor is stacked (G, ...).

    Parameters
    ----------
    template : one network of their architecture.
    parameters, buffers : by name.
    optimizer_state : what `sgd_step` keeps, by its name there and then by parameter. It is zero at
        first.
    linear : the names of the linear layers of a plain perceptron; empty for other networks.
    precision : of the arithmetic. "bf16" multiplies matrices in bf16. Sums, and all that is kept,
        stay in float32.
    """

    template: nn.Module
    parameters: Tensors
    optimizer_state: dict[str, Tensors]
    buffers: Tensors
    linear: tuple[str, ...]
    precision: str

    def __len__(self) -> int:
        return len(next(iter(self.parameters.values())))


def stack(
    models: list[nn.Module],
    device: torch.device,
    precision: str = "fp32",
    *,
    batched_mlp: bool = True,
) -> StackedModels:
    """Stack networks of one architecture on a device.

    Parameters
    ----------
    models : the G networks.
    device, precision : where they train, and in which arithmetic.
    batched_mlp : whether perceptrons train by batched products; else they go through `torch.func`.
    """
    parameters = _stacked([dict(model.named_parameters()) for model in models], device)
    return StackedModels(
        template=models[0].to(device),
        parameters=parameters,
        optimizer_state={
            "momentum_buffer": {name: torch.zeros_like(v) for name, v in parameters.items()}
        },
        buffers=_stacked([dict(model.named_buffers()) for model in models], device),
        linear=mlp_layers(models[0]) if batched_mlp else (),
        precision=precision,
    )


def _stacked(each: list[Tensors], device: torch.device) -> Tensors:
    return {
        name: torch.stack([tensors[name].detach() for tensors in each]).to(device)
        for name in each[0]
    }


def state(networks: StackedModels) -> Tensors:
    """Give every tensor that training changes, under a name of its own, in the networks' memory."""
    parts = {
        "model": networks.parameters,
        "buffers": networks.buffers,
        **{f"optimizer.{name}": kept for name, kept in networks.optimizer_state.items()},
    }
    return {
        f"{part}.{name}": value
        for part, tensors in parts.items()
        for name, value in tensors.items()
    }


def restore(networks: StackedModels, saved: Tensors) -> None:
    """Put back what `state` gave. Training goes on from there to the same bits.

    Tensors that an earlier layout saved are known by the names of then.
    """
    saved = optimizers.renamed(saved)
    for name, value in state(networks).items():
        value.copy_(saved[name])


def mlp_layers(model: nn.Module) -> tuple[str, ...]:
    """Give the names of the linear layers of a plain perceptron, in order; none of other networks.

    A plain perceptron is a Sequential that flattens, and then has linear layers with biases, and a
    ReLU between any two.
    """
    layers = list(model.named_children())
    body = layers[1:] if layers and type(layers[0][1]) is nn.Flatten else []
    expected = [nn.Linear if place % 2 == 0 else nn.ReLU for place in range(len(body))]
    fits = (
        type(model) is nn.Sequential
        and len(body) % 2 == 1
        and [type(m) for _, m in body] == expected
    )
    linear = tuple(
        name for name, module in body if isinstance(module, nn.Linear) and module.bias is not None
    )
    return linear if fits and len(linear) == len(body) // 2 + 1 else ()


def train_epoch(
    networks: StackedModels,
    images: DeviceImages | PreparedImages,
    labels: Int[torch.Tensor, "N"],
    members: Int[torch.Tensor, "G n"],
    seeds: list[int],
    config: TrainConfig,
    epoch: int,
) -> None:
    """Train all networks for one epoch.

    Orders and augmentations are those of `loop.train_epoch` for the same seeds.

    Parameters
    ----------
    networks : the G networks; their tensors are changed in place.
    images : those of the data. Prepared images take no augmentation.
    labels : (N,) of all rows.
    members : (G, n) the rows that each network is trained on.
    seeds : of each network.
    config : the protocol.
    epoch : its number; 1 is the first.
    """
    device, count = labels.device, members.shape[1]
    augmented = isinstance(images, DeviceImages) and (config.crop_padding > 0 or config.flip)
    orders: list[torch.Tensor] = []
    augmentations: list[Augmentation] = []
    for rows, seed in zip(members, seeds, strict=True):
        rng = randomness.generator(seed, "epoch", epoch)
        orders.append(rows[torch.randperm(count, generator=rng).to(device)])
        if augmented:
            augmentations.append(
                draw_augmentation(count, config.crop_padding, config.flip, rng, device)
            )
    order = torch.stack(orders)
    bounds = schedule.batch_bounds(count, config.batch_size, drop_last=config.drop_last)
    total_steps, first_step = config.epochs * len(bounds), (epoch - 1) * len(bounds)
    networks.template.train()
    for number, (start, stop) in enumerate(bounds):
        rows = order[:, start:stop]
        if augmented and isinstance(images, DeviceImages):
            parts = [
                images.augmented(images.of(own), drawn.part(start, stop))
                for own, drawn in zip(rows, augmentations, strict=True)
            ]
            batch = torch.stack(parts)
        else:
            batch = _batch(images, rows)
        gradients = _gradients(networks, batch, labels[rows])
        rate = schedule.learning_rate(config, first_step + number, total_steps, len(bounds))
        sgd_step(networks, gradients, config, rate)


def evaluate(
    networks: StackedModels, images: DeviceImages | PreparedImages, rows: Int[torch.Tensor, "G h"]
) -> Float[torch.Tensor, "G h C"]:
    """Make a clean pass of each network over rows of its own: eval mode, no augmentation.

    Parameters
    ----------
    networks : the G networks.
    images : those of the data.
    rows : (G, h) those that each network evaluates.

    Returns
    -------
    The logits (G, h, C), float32.
    """
    networks.template.eval()
    size = (
        MLP_EVALUATION_BATCH
        if networks.linear
        else max(loop.EVALUATION_BATCH[rows.device.type] // len(rows), 1)
    )
    with torch.inference_mode():
        blocks = [
            _logits(networks, _batch(images, part)).float()
            for part in torch.split(rows, size, dim=1)
        ]
    return torch.cat(blocks, dim=1)


def _batch(images: DeviceImages | PreparedImages, rows: torch.Tensor) -> torch.Tensor:
    """The normalised images (G, B, ...) of `rows` (G, B)."""
    batch = images.batch(rows.flatten())
    return batch.view(*rows.shape, *batch.shape[1:])


def sgd_step(
    networks: StackedModels, gradients: Tensors, config: TrainConfig, learning_rate: float
) -> None:
    """Take one step of stochastic gradient descent on all networks, as `optimizer_for` makes it.

    It alone knows what `optimizer_state` holds. The momentum is zero at first, as if the first step
    had set it.

    Parameters
    ----------
    networks : the G networks. Their parameters and what is kept of the optimiser change in place.
    gradients : by the parameter's name, each stacked (G, ...).
    config : the protocol, which has the momentum and the weight decay.
    learning_rate : that of this step.
    """
    gradients = {name: gradients[name] for name in networks.parameters}
    momentum = networks.optimizer_state["momentum_buffer"]
    torch._fused_sgd_(
        _each(networks.parameters),
        _each(gradients),
        _each(momentum) if config.momentum else [],
        weight_decay=config.weight_decay,
        momentum=config.momentum,
        lr=learning_rate,
        dampening=0.0,
        nesterov=config.nesterov,
        maximize=False,
        is_first_step=False,
    )


def _each(tensors: Tensors) -> list[torch.Tensor]:
    """Take stacked tensors apart where a CPU would round some of their numbers otherwise.

    Those are the last numbers of a tensor that fill no vector of the processor.
    """
    apart = {
        name
        for name, stacked in tensors.items()
        if not stacked.is_cuda and stacked[0].numel() % VECTORS
    }
    return [
        part
        for name, stacked in tensors.items()
        for part in (stacked.unbind() if name in apart else [stacked])
    ]


def _gradients(networks: StackedModels, batch: torch.Tensor, labels: torch.Tensor) -> Tensors:
    if networks.linear:
        return mlp_gradients(
            networks.parameters, networks.linear, batch, labels, networks.precision
        )
    return _functional_gradients(networks, batch, labels)


def _logits(networks: StackedModels, batch: torch.Tensor) -> torch.Tensor:
    if networks.linear:
        return mlp_logits(networks.parameters, networks.linear, batch, networks.precision)
    return _functional_logits(networks, batch)


def _functional_gradients(
    networks: StackedModels, batch: torch.Tensor, labels: torch.Tensor
) -> Tensors:
    """The gradients of each network's mean cross-entropy over its batch, of any architecture.

    Running statistics in the buffers move on, as they do in training.
    """

    def loss(
        parameters: Tensors, buffers: Tensors, inputs: torch.Tensor, target: torch.Tensor
    ) -> torch.Tensor:
        with loop.autocast(inputs.device, networks.precision):
            output = torch.func.functional_call(networks.template, (parameters, buffers), (inputs,))
        return functional.cross_entropy(output.to(inputs.dtype), target)

    gradients: Tensors = torch.vmap(torch.func.grad(loss))(
        networks.parameters, networks.buffers, batch, labels
    )
    return gradients


def _functional_logits(networks: StackedModels, batch: torch.Tensor) -> torch.Tensor:
    def call(parameters: Tensors, buffers: Tensors, inputs: torch.Tensor) -> torch.Tensor:
        with loop.autocast(inputs.device, networks.precision):
            output: torch.Tensor = torch.func.functional_call(
                networks.template, (parameters, buffers), (inputs,)
            )
        return output

    logits: torch.Tensor = torch.vmap(call)(networks.parameters, networks.buffers, batch)
    return logits
