"""Many networks at once: the same architecture and protocol, each with its own rows, seed, and order of batches.

G networks train in one batched computation over stacked parameters. Plain perceptrons (linear
layers and ReLU) have their forward and backward pass written out in batched matrix products;
everything else goes through `torch.func`. What comes out is what each network would have become
alone.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import nn
from torch.nn import functional

from prune_kit import randomness
from prune_kit.protocol.config import TrainConfig
from prune_kit.training import images, loop, optimizers, schedule
from prune_kit.training.images import DeviceImages, PreparedImages

VECTORS = 64  # numbers: a whole count of the vectors of every CPU
EVALUATION_BATCH = (
    500  # images of each network at a time, however many networks: the bits depend on it
)

Tensors = dict[str, torch.Tensor]
LogitsOf = Callable[[torch.Tensor], torch.Tensor]  # (B, ...) or (G, B, ...) -> (G, B, C)


@dataclass(frozen=True, eq=False)
class Stack:
    """G networks as one: `parameters` and `buffers`, stacked (G, ...), and what their optimiser keeps.

    `optimizer_state` are the tensors that `sgd_step` keeps, by a name of their own and then by
    parameter: `momentum_buffer`, zero at first.
    `linear` are the names of the linear layers where the network is a plain perceptron, else empty.
    `precision` is that of the arithmetic: "bf16" multiplies matrices in bf16; sums, and all that is
    kept, stay in float32.
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
    models: list[nn.Module], device: torch.device, precision: str = "fp32", *, by_hand: bool = True
) -> Stack:
    """Stack networks of the same architecture on `device`. `by_hand=False` leaves perceptrons to `torch.func` too."""
    parameters = _stacked([dict(model.named_parameters()) for model in models], device)
    return Stack(
        template=models[0].to(device),
        parameters=parameters,
        optimizer_state={
            "momentum_buffer": {name: torch.zeros_like(v) for name, v in parameters.items()}
        },
        buffers=_stacked([dict(model.named_buffers()) for model in models], device),
        linear=perceptron_layers(models[0]) if by_hand else (),
        precision=precision,
    )


def _stacked(each: list[Tensors], device: torch.device) -> Tensors:
    return {
        name: torch.stack([tensors[name].detach() for tensors in each]).to(device)
        for name in each[0]
    }


def state(networks: Stack) -> Tensors:
    """Every tensor that training changes, by a name of its own; they share the memory of the networks."""
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


def restore(networks: Stack, saved: Tensors) -> None:
    """Put back what `state` gave, so that training goes on from there to the same bits."""
    saved = optimizers.renamed(saved)
    for name, value in state(networks).items():
        value.copy_(saved[name])


def perceptron_layers(model: nn.Module) -> tuple[str, ...]:
    """The names of the linear layers of a plain perceptron, in order; empty for any other network.

    That is a Sequential that flattens, and then has linear layers with biases, and a ReLU between
    any two.
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
    networks: Stack,
    pictures: DeviceImages | PreparedImages,
    labels: Int[torch.Tensor, "N"],
    members: Int[torch.Tensor, "G n"],
    seeds: list[int],
    config: TrainConfig,
    epoch: int,
) -> None:
    """Train all networks for epoch number `epoch` (1 is the first), each on its own row of `members`.

    Orders and augmentations are those of `loop.train_epoch` for the same seeds. Prepared images
    take no augmentation.
    """
    device, count = labels.device, members.shape[1]
    augmented = isinstance(pictures, DeviceImages) and (config.crop_padding > 0 or config.flip)
    orders, draws = [], []
    for rows, seed in zip(members, seeds, strict=True):
        draws_from = randomness.generator(seed, "epoch", epoch)
        orders.append(rows[torch.randperm(count, generator=draws_from).to(device)])
        if augmented:
            draws.append(images.draw(count, config.crop_padding, config.flip, draws_from, device))
    order = torch.stack(orders)
    bounds = schedule.batch_bounds(count, config.batch_size, drop_last=config.drop_last)
    total_steps, first_step = config.epochs * len(bounds), (epoch - 1) * len(bounds)
    gradients_of = _perceptron_gradients if networks.linear else _functional_gradients
    networks.template.train()
    for number, (start, stop) in enumerate(bounds):
        rows = order[:, start:stop]
        if augmented and isinstance(pictures, DeviceImages):
            parts = [
                pictures.augmented(pictures.of(r), d.part(start, stop))
                for r, d in zip(rows, draws, strict=True)
            ]
            batch = torch.stack(parts)
        else:
            batch = _batch(pictures, rows)
        gradients = gradients_of(networks, batch, labels[rows])
        rate = schedule.learning_rate(config, first_step + number, total_steps, len(bounds))
        sgd_step(networks, gradients, config, rate)


def evaluate(
    networks: Stack, pictures: DeviceImages | PreparedImages, rows: Int[torch.Tensor, "G h"]
) -> Float[torch.Tensor, "G h C"]:
    """The logits of each network on its own `rows`, float32, in eval mode and without augmentation."""
    networks.template.eval()
    size = (
        EVALUATION_BATCH
        if networks.linear
        else max(loop.EVALUATION_BATCH[rows.device.type] // len(rows), 1)
    )
    logits_of = _perceptron_logits if networks.linear else _functional_logits
    with torch.inference_mode():
        blocks = [
            logits_of(networks, _batch(pictures, part)).float()
            for part in torch.split(rows, size, dim=1)
        ]
    return torch.cat(blocks, dim=1)


def _batch(pictures: DeviceImages | PreparedImages, rows: torch.Tensor) -> torch.Tensor:
    """The normalised images (G, B, ...) of `rows` (G, B)."""
    batch = pictures.batch(rows.flatten())
    return batch.view(*rows.shape, *batch.shape[1:])


def sgd_step(
    networks: Stack, gradients: Tensors, config: TrainConfig, learning_rate: float
) -> None:
    """One step of the stochastic gradient descent of `optimizers.optimizer_for` on all networks."""
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
        is_first_step=False,  # which would be the same: the momentum is zero
    )


def _each(tensors: Tensors) -> list[torch.Tensor]:
    """What is stacked, taken apart where a CPU would round the last numbers, which fill no vector, otherwise alone."""
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


def _product(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """The products (G, n, m) of matrices (G, n, k) and (G, k, m)."""
    if not _one_by_one(one):
        return torch.bmm(one, other)
    products = one.new_empty(len(one), one.shape[1], other.shape[2])
    for place, product in enumerate(products):
        torch.mm(one[place], other[place], out=product)
    return products


def _affine(inputs: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """The products (G, B, m) of inputs (G, B, k) and weights (G, k, m), plus biases (G, m)."""
    if not _one_by_one(inputs):
        return torch.baddbmm(bias.unsqueeze(1), inputs, weight)
    sums = inputs.new_empty(len(inputs), inputs.shape[1], weight.shape[2])
    for place, out in enumerate(sums):
        torch.addmm(bias[place], inputs[place], weight[place], out=out)
    return sums


def _one_by_one(matrices: torch.Tensor) -> bool:
    """Whether products of stacked matrices are made one after the other.

    On a CPU in fp32, since several threads may round a batch of products otherwise than a product
    alone; and where there is only one, since the units for bf16 would not make it in a batch.
    """
    in_fp32 = not matrices.is_cuda and torch.get_float32_matmul_precision() == "highest"
    return len(matrices) == 1 or in_fp32


def _perceptron_forward(networks: Stack, batch: torch.Tensor) -> list[torch.Tensor]:
    """What every linear layer receives, (G, B, in), and last the logits (G, B, C)."""
    received = [batch.flatten(2)]
    for place, name in enumerate(networks.linear, start=1):
        weight, bias = networks.parameters[f"{name}.weight"], networks.parameters[f"{name}.bias"]
        output = _affine(received[-1], weight.transpose(1, 2), bias)
        received.append(output.relu_() if place < len(networks.linear) else output)
    return received


def _perceptron_logits(networks: Stack, batch: torch.Tensor) -> torch.Tensor:
    with _products_in(networks.precision):
        return _perceptron_forward(networks, batch)[-1]


def _perceptron_gradients(networks: Stack, batch: torch.Tensor, labels: torch.Tensor) -> Tensors:
    """The gradients of each network's mean cross-entropy over its batch."""
    gradients: Tensors = {}
    with _products_in(networks.precision):
        *received, output = _perceptron_forward(networks, batch)
        error = output.softmax(2)
        error.scatter_add_(
            2, labels.unsqueeze(2), error.new_full((), -1.0).expand(*labels.shape, 1)
        )
        error /= labels.shape[1]
        for name, inputs in zip(reversed(networks.linear), reversed(received), strict=True):
            gradients[f"{name}.bias"] = error.sum(1)
            gradients[f"{name}.weight"] = _product(error.transpose(1, 2), inputs)
            if name != networks.linear[0]:
                error = _product(error, networks.parameters[f"{name}.weight"])
                error = torch.ops.aten.threshold_backward(
                    error, inputs, 0
                )  # the inputs are what a ReLU gave
    return gradients


@contextmanager
def _products_in(precision: str) -> Iterator[None]:
    """Let products of float32 matrices be made by the units for bf16 inside the block, where `precision` says so."""
    before = torch.get_float32_matmul_precision()
    if precision == "bf16":
        torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _functional_gradients(networks: Stack, batch: torch.Tensor, labels: torch.Tensor) -> Tensors:
    """The same for any network. Running statistics in `networks.buffers` move on as they do in training."""

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


def _functional_logits(networks: Stack, batch: torch.Tensor) -> torch.Tensor:
    def call(parameters: Tensors, buffers: Tensors, inputs: torch.Tensor) -> torch.Tensor:
        with loop.autocast(inputs.device, networks.precision):
            output: torch.Tensor = torch.func.functional_call(
                networks.template, (parameters, buffers), (inputs,)
            )
        return output

    logits: torch.Tensor = torch.vmap(call)(networks.parameters, networks.buffers, batch)
    return logits
