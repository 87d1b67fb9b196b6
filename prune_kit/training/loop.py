"""The only training loop, and the clean pass that evaluates a network between epochs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from prune_kit import randomness
from prune_kit.protocol.config import TrainConfig
from prune_kit.training import schedule
from prune_kit.training.images import Augmentation, DeviceImages, draw_augmentation
from prune_kit.training.out_of_memory import halved

EVALUATION_BATCH = {"cpu": 250, "cuda": 2000}  # on a CPU larger ones only take memory


@dataclass(frozen=True, eq=False)
class Training:
    """One training: what it is trained on, and how.

    Parameters
    ----------
    images : those of the data, for the device.
    labels : (N,) on the device.
    members : (n,) the rows that are trained on, on the device.
    config : the protocol.
    seed : of the order, the augmentation and dropout.
    total_steps : after which it ends, perhaps within an epoch.
    epoch_steps : the steps of one epoch of the full data, in which milestones are counted.
    precision : "fp32" or "bf16", that of the arithmetic; weights stay float32.
    """

    images: DeviceImages
    labels: torch.Tensor
    members: torch.Tensor
    config: TrainConfig
    seed: int
    total_steps: int
    epoch_steps: int
    precision: str

    @property
    def bounds(self) -> list[tuple[int, int]]:
        """The (start, stop) of each batch of an epoch over the members."""
        return schedule.batch_bounds(
            len(self.members), self.config.batch_size, drop_last=self.config.drop_last
        )

    @property
    def epochs(self) -> int:
        """How many passes over the members make `total_steps`, the last perhaps a partial one."""
        return -(-self.total_steps // len(self.bounds))


@dataclass(frozen=True, eq=False)
class Epoch:
    """What the steps of one epoch take.

    Parameters
    ----------
    rows : (n,) in the order in which they are presented.
    augmentation : of each of them.
    bounds : the (start, stop) of each batch; perhaps fewer than would cover the rows.
    rates : the learning rate of each step.
    logits : (N, C), where given; the logits of each example, before the step that uses them, go to
        its row.
    """

    rows: torch.Tensor
    augmentation: Augmentation
    bounds: list[tuple[int, int]]
    rates: list[float]
    logits: torch.Tensor | None


# takes the steps of an epoch, one whenever the next is asked for
Steps = Callable[[Epoch], Iterator[None]]


def train_epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    training: Training,
    epoch: int,
    logits: torch.Tensor | None = None,
    after_step: Callable[[int], None] | None = None,
    steps: Steps | None = None,
) -> int:
    """Train one epoch.

    The order and the augmentation depend on the seed and the epoch alone, so an epoch can be
    repeated, and gone on with.

    Parameters
    ----------
    model, optimizer : what is trained, and what changes it.
    training : on what, and how.
    epoch : its number; 1 is the first.
    logits : those of `Epoch`.
    after_step : is called with the number of finished steps after each. It must change nothing.
    steps : takes the steps; `EagerSteps` where left out.

    Returns
    -------
    How many examples were presented.
    """
    config, device = training.config, training.labels.device
    rng = randomness.generator(training.seed, "epoch", epoch)
    count = len(training.members)
    order = training.members[torch.randperm(count, generator=rng).to(device)]
    augmentation = draw_augmentation(count, config.crop_padding, config.flip, rng, device)
    first_step = (epoch - 1) * len(training.bounds)
    bounds = training.bounds[: training.total_steps - first_step]
    rates = [
        schedule.learning_rate(config, step, training.total_steps, training.epoch_steps)
        for step in range(first_step, first_step + len(bounds))
    ]
    steps = steps or EagerSteps(model, optimizer, training)
    model.train()
    with randomness.seeded(training.seed, "dropout", epoch):
        for number, _ in enumerate(
            steps(Epoch(order, augmentation, bounds, rates, logits)), start=first_step + 1
        ):
            if after_step is not None:
                after_step(number)
    return sum(stop - start for start, stop in bounds)


@dataclass(frozen=True, eq=False)
class EagerSteps:
    """Steps that are launched one after the other.

    Parameters
    ----------
    model : the network.
    optimizer : moves its weights.
    training : what the steps work on.
    compiled : what whole batches go through, where it is given; what it computes is the `model`.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    training: Training
    compiled: nn.Module | None = None

    def __call__(self, epoch: Epoch) -> Iterator[None]:
        """Take the steps of an epoch."""
        batches = self.training.images.batches(epoch.rows, epoch.bounds)
        for (start, stop), rate, pixels in zip(epoch.bounds, epoch.rates, batches, strict=True):
            self.take(
                pixels,
                epoch.rows[start:stop],
                epoch.augmentation.part(start, stop),
                rate,
                epoch.logits,
            )
            yield

    def take(
        self,
        pixels: torch.Tensor,
        rows: torch.Tensor,
        augmentation: Augmentation,
        rate: float | torch.Tensor,
        logits: torch.Tensor | None,
    ) -> None:
        """Take one step.

        Parameters
        ----------
        pixels : uint8 (B, H, W, C), those of the rows.
        rows : (B,) whose labels count.
        augmentation : of each of them.
        rate : the learning rate.
        logits : those of `Epoch`.
        """
        training, config = self.training, self.training.config
        augmented = config.crop_padding > 0 or config.flip
        batch = (
            training.images.augmented(pixels, augmentation)
            if augmented
            else training.images.normalised(pixels)
        )
        network = (
            self.compiled
            if self.compiled is not None and len(rows) == config.batch_size
            else self.model
        )
        with autocast(rows.device, training.precision):
            output = network(batch)
        output = output.to(batch.dtype)
        if logits is not None:
            logits[rows] = output.detach()
        loss = functional.cross_entropy(output, training.labels[rows])
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()


def evaluate(
    model: nn.Module, images: DeviceImages, precision: str, rows: torch.Tensor | None = None
) -> torch.Tensor:
    """Make a clean pass: the logits in eval mode and without augmentation.

    Parameters
    ----------
    model : the network. Its mode is afterwards what it was.
    images : those of the data, on the device.
    precision : "fp32" or "bf16", that of the arithmetic.
    rows : (N,) those that are evaluated; all where left out.

    Returns
    -------
    The logits (N, C), float32.

    Raises
    ------
    RunError when memory does not hold a single example. Batches are halved before that.
    """
    training = model.training
    model.eval()
    device = images.device
    count = len(images.pixels) if rows is None else len(rows)
    size, start = EVALUATION_BATCH[device.type], 0
    logits = torch.empty(0)
    with torch.inference_mode(), autocast(device, precision):
        while start < count:
            part = slice(start, min(start + size, count))
            failure = None
            try:
                output = model(images.batch(part if rows is None else rows[part]))
            except (RuntimeError, MemoryError) as error:
                failure = error.with_traceback(None)  # whose frames would hold on to the memory
            if failure is not None:
                size = halved(size, failure, "the clean pass")
                continue
            if start == 0:
                # one array, filled: small ones kept between large ones would split the heap
                logits = torch.empty(count, output.shape[1], device=device)
            logits[part] = output
            start = part.stop
    model.train(training)
    return logits


def accuracy(model: nn.Module, images: DeviceImages, labels: torch.Tensor, precision: str) -> float:
    """Measure the share, in [0, 1], of the images that the network has right, in a clean pass.

    Parameters
    ----------
    model, images, precision : as of `evaluate`; there is at least one image.
    labels : (N,) those of the images, on their device.
    """
    right = evaluate(model, images, precision).argmax(1) == labels
    return int(right.sum()) / len(right)


def placed(model: nn.Module, device: torch.device) -> nn.Module:
    """Lay a network on the device, in channels-last memory, so that its gradients stay in it.

    The gradient of a global average comes in the other layout. The layers before it take their
    layout from it; so a step of a small network would take a tenth longer. The numbers are the
    same.
    """
    model = model.to(device).to(memory_format=torch.channels_last)
    for layer in model.modules():
        if isinstance(layer, nn.AdaptiveAvgPool2d):
            layer.register_forward_pre_hook(_keep_layout)
    return model


def _keep_layout(_: nn.Module, received: tuple[torch.Tensor]) -> None:
    (maps,) = received
    # torch's compiler has layouts of its own
    if maps.requires_grad and maps.dim() == 4 and not torch.compiler.is_compiling():
        maps.register_hook(lambda g: g.contiguous(memory_format=torch.channels_last))  # type: ignore[no-untyped-call]


@contextmanager
def in_tf32(device: torch.device) -> Iterator[None]:
    """Let a GPU multiply float32 matrices in TF32 inside the block, as it does for convolutions."""
    before = torch.get_float32_matmul_precision()
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """bf16 arithmetic inside the block where `precision` says so; weights stay float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")
