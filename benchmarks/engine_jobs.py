"""The jobs that `engine.py` measures: a plain PyTorch loop, ours, and the limit of the machine."""

import statistics
import tempfile
import time
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

import prune_kit
from prune_kit import models
from prune_kit.data.dataset import Dataset, from_arrays
from prune_kit.protocol.config import TrainConfig
from prune_kit.training import cuda_graphs, loop, optimizers, schedule
from prune_kit.training.images import normalisation, of_data

MATRIX = {"cpu": 2048, "cuda": 8192}
PADDING = 4


class PilImages(torch.utils.data.Dataset[tuple[torch.Tensor, int, int]]):
    """A data set like torchvision's CIFAR10, which also gives the row of each example.

    The images are an array in memory. Each example is made a PIL image and transformed.
    """

    def __init__(self, data: Dataset, transform: object) -> None:
        self.pixels = np.asarray(data.images)
        self.labels = data.labels
        self.transform = transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int, int]:
        from PIL import Image

        pixels = self.pixels[row]
        image = Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels)
        return self.transform(image), int(self.labels[row]), row


def loaders(
    data: Dataset, config: TrainConfig, device: torch.device, workers: int
) -> tuple[DataLoader, DataLoader]:
    """A shuffled, augmenting loader over the training rows, and a plain one."""
    from torchvision import transforms

    mean, std = (tuple(constant / 255) for constant in normalisation(data))
    plain = [transforms.ToTensor(), transforms.Normalize(mean, std)]
    augmented = []
    if config.crop_padding:
        augmented.append(transforms.RandomCrop(data.shape[0], padding=config.crop_padding))
    if config.flip:
        augmented.append(transforms.RandomHorizontalFlip())
    augmented += plain
    options = {
        "num_workers": workers,
        "pin_memory": device.type == "cuda",
        "persistent_workers": workers > 0,
    }
    rows = data.rows.training.tolist()
    trained = torch.utils.data.Subset(PilImages(data, transforms.Compose(augmented)), rows)
    swept = torch.utils.data.Subset(PilImages(data, transforms.Compose(plain)), rows)
    return (
        DataLoader(trained, config.batch_size, shuffle=True, **options),
        DataLoader(swept, 500, **options),
    )


def plain_job(
    data: Dataset, config: TrainConfig, epochs: int, runs: int, device: torch.device, workers: int
) -> dict[str, float]:
    """Seconds of the whole job by the usual code, and of the last run's training and sweep.

    The workers of the loaders start in the first run.
    """
    shuffled, ordered = loaders(data, config, device, workers)
    spent = {"training": 0.0, "sweeps": 0.0}
    scores = np.zeros((runs, len(data)))
    started = time.perf_counter()
    for seed in range(runs):
        torch.manual_seed(seed)
        model = models.build(config.model, shape=data.shape, classes=data.classes, seed=seed)
        model = model.to(device)
        optimizer = torch.optim.SGD(
            model.parameters(),
            config.learning_rate,
            momentum=0.9,
            nesterov=True,
            weight_decay=config.weight_decay,
        )
        began = time.perf_counter()
        model.train()
        for _ in range(epochs):
            for inputs, labels, _rows in shuffled:
                optimizer.zero_grad()
                functional.cross_entropy(model(inputs.to(device)), labels.to(device)).backward()
                optimizer.step()
        spent["training"] = synchronised_time(device) - began
        began = time.perf_counter()
        model.eval()
        with torch.no_grad():
            for inputs, labels, rows in ordered:
                onehot = functional.one_hot(labels.to(device), data.classes)
                error = model(inputs.to(device)).softmax(1) - onehot
                scores[seed, rows.numpy()] = error.norm(dim=1).cpu().numpy()
        spent["sweeps"] = time.perf_counter() - began
    scores.mean(axis=0)
    return spent | {"whole": time.perf_counter() - started}


def scored(data: Dataset, method: str, config: TrainConfig, device: str, **options: Any) -> float:
    """Seconds of `score` in an empty workdir, with its files and processes."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        prune_kit.score(data, method, config=config, device=device, workdir=folder, **options)
        return time.perf_counter() - started


def our_job(
    data: Dataset, config: TrainConfig, epochs: int, runs: int, device: str, precision: str
) -> float:
    """Seconds of the whole EL2N job, by ours."""
    return scored(
        data, "el2n", config, device, epoch=epochs, runs=runs, observe="sweep", precision=precision
    )


def our_parts(
    data: Dataset,
    config: TrainConfig,
    device: torch.device,
    precision: str,
    epochs: int,
    *,
    launched: bool = False,
) -> dict[str, float]:
    """Seconds of an epoch of training and of a sweep of all rows, in this process.

    They are medians over `epochs`. `before` is how much longer the first epoch took. `launched`
    steps are neither replayed nor compiled.
    """
    images, *_ = of_data(data, device)
    members = torch.from_numpy(data.rows.training).to(device)
    labels = torch.from_numpy(data.labels).to(device)
    steps = schedule.steps_per_epoch(len(members), config.batch_size, drop_last=config.drop_last)
    training = loop.Training(
        images, labels, members, config, 0, config.epochs * steps, steps, precision
    )
    measured: dict[str, list[float]] = {"training": [], "sweeps": []}
    with cuda_graphs.own_stream(device), loop.in_tf32(device):
        network = models.build(config.model, shape=data.shape, classes=data.classes, seed=0)
        model = loop.placed(network, device)
        optimizer = optimizers.optimizer_for(model, config)
        taken = None if launched else cuda_graphs.fastest(model, optimizer, training)
        for epoch in range(1, epochs + 2):
            began = synchronised_time(device)
            loop.train_epoch(model, optimizer, training, epoch, steps=taken)
            trained = synchronised_time(device)
            loop.evaluate(model, images, precision, members)
            measured["training"].append(trained - began)
            measured["sweeps"].append(synchronised_time(device) - trained)
    if taken is not None and (reason := cuda_graphs.why_slow(taken)):
        print(f"{config.model}, {precision}{reason}")
    medians = {name: statistics.median(seconds[1:]) for name, seconds in measured.items()}
    return medians | {"before": measured["training"][0] - medians["training"]}


def synchronised_time(device: torch.device) -> float:
    """The clock in seconds, after waiting for a GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def peak_rate(device: torch.device, precision: str) -> float:
    """The multiplications and additions per second of a large product of matrices."""
    size = MATRIX[device.type]
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    one, other = (torch.randn(size, size, device=device, dtype=kind) for _ in range(2))
    seconds = []
    with loop.in_tf32(device):
        for _ in range(4):
            began = synchronised_time(device)
            one @ other
            seconds.append(synchronised_time(device) - began)
    return 2 * size**3 / min(seconds[1:])


def forward_operations(name: str, data: Dataset) -> int:
    """The multiplications and additions of the forward pass of one example."""
    model = models.build(name, shape=data.shape, classes=data.classes, seed=0).eval()
    height, width, channels = data.shape
    with FlopCounterMode(display=False) as counted, torch.no_grad():
        model(torch.zeros(1, channels, height, width))
    return int(counted.get_total_flops())


def part_of(data: Dataset, count: int) -> Dataset:
    """`count` training rows, spread evenly over the data, and a small test set."""
    rows = data.rows.training[:: max(len(data.rows.training) // count, 1)][:count]
    test = np.arange(0, len(data.test.label), max(len(data.test.label) // 500, 1))
    return from_arrays(
        np.ascontiguousarray(data.images[rows]), data.labels[rows], name=data.name,
        spec=data.rows.data, class_names=data.class_names, test_images=data.test.images[test],
        test_label=data.test.label[test],
    )  # fmt: skip


def protocol(model: str, epochs: int, augmented: bool) -> TrainConfig:
    """The protocol of every network: batches of 128 and a constant learning rate."""
    return TrainConfig(
        model=model, epochs=epochs, learning_rate=0.05, schedule="constant",
        crop_padding=PADDING if augmented else 0, flip=augmented,
    )  # fmt: skip
