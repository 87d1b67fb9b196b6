"""What training and scoring cost: ours against a plain PyTorch loop, in turns, and against the machine's own limit.

    python benchmarks/engine.py --data folder:DIR                      the EL2N job and its parts
    python benchmarks/engine.py --data folder:DIR --models mlp,convnet,resnet18
    python benchmarks/engine.py --data folder:DIR --agreement          whether bf16 changes more than other seeds do
    python benchmarks/engine.py --data cifar10:DIR --gpu               on a GPU: all that is promised of one
    python benchmarks/engine.py --data cifar10:DIR --gpu steps         a part of that: steps, el2n, grand, seeds
    python benchmarks/engine.py --data cifar10:DIR --gpu steps --cudnn-tries      where cuDNN tries its algorithms first

The plain loop is how the peers train: a torchvision data set of PIL images, transforms in
DataLoader workers, float32, the default memory layout, one network after the other with all cores;
then a clean pass for EL2N. Both train the same networks on the same rows by the same protocol.
`share of peak` is the arithmetic of forward and backward (three times the forward's multiplications
and additions) against the rate of large matrix products in the same precision.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from torch.nn import functional
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from this_machine import machine

import prune_kit
from prune_kit import models
from prune_kit.data.dataset import Dataset, from_arrays
from prune_kit.data.spec import load_data
from prune_kit.errors import PruneKitError
from prune_kit.protocol.config import TrainConfig
from prune_kit.protocol.execution import Execution
from prune_kit.protocol.processor import cpu_precision
from prune_kit.training import allocator, cuda_graphs, images, loop, optimizers, schedule
from prune_kit.training.threads import using_threads

GPU_PARTS = ("steps", "el2n", "grand", "seeds")
PRECISIONS = ("auto", "fp32", "bf16", "both")
MATRIX = {"cpu": 2048, "cuda": 8192}
PADDING = 4


class Pictures(torch.utils.data.Dataset[tuple[torch.Tensor, int, int]]):
    """As torchvision's CIFAR10: an array in memory, a PIL image and the transforms per example; and its row."""

    def __init__(self, data: Dataset, transform: object) -> None:
        self.pixels, self.labels, self.transform = np.asarray(data.images), data.labels, transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int, int]:
        from PIL import Image

        pixels = self.pixels[row]
        return (
            self.transform(
                Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels)
            ),
            int(self.labels[row]),
            row,
        )


def loaders(
    data: Dataset, config: TrainConfig, device: torch.device, workers: int
) -> tuple[DataLoader, DataLoader]:
    """A shuffled, augmenting loader over the training rows, and a plain one."""
    from torchvision import transforms

    mean, deviation = (tuple(constant / 255) for constant in images.normalisation(data))
    plain = [transforms.ToTensor(), transforms.Normalize(mean, deviation)]
    crops = (
        [transforms.RandomCrop(data.shape[0], padding=config.crop_padding)]
        if config.crop_padding
        else []
    )
    augmented = [*crops, *([transforms.RandomHorizontalFlip()] if config.flip else []), *plain]
    given = {
        "num_workers": workers,
        "pin_memory": device.type == "cuda",
        "persistent_workers": workers > 0,
    }
    rows = data.rows.training.tolist()
    trained = torch.utils.data.Subset(Pictures(data, transforms.Compose(augmented)), rows)
    looked_at = torch.utils.data.Subset(Pictures(data, transforms.Compose(plain)), rows)
    return (
        DataLoader(trained, config.batch_size, shuffle=True, **given),
        DataLoader(looked_at, 500, **given),
    )


def plain_job(
    data: Dataset, config: TrainConfig, epochs: int, runs: int, device: torch.device, workers: int
) -> dict[str, float]:
    """Seconds of the whole job as anyone would write it, and of the last run's training and sweep.

    The workers of the loaders start in the first run.
    """
    shuffled, ordered = loaders(data, config, device, workers)
    spent = {"training": 0.0, "sweeps": 0.0}
    scores = np.zeros((runs, len(data)))
    started = time.perf_counter()
    for seed in range(runs):
        torch.manual_seed(seed)
        model = models.build(config.model, shape=data.shape, classes=data.classes, seed=seed).to(
            device
        )
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
        synchronise(device)
        spent["training"] = time.perf_counter() - began
        began = time.perf_counter()
        model.eval()
        with torch.no_grad():
            for inputs, labels, rows in ordered:
                error = model(inputs.to(device)).softmax(1) - functional.one_hot(
                    labels.to(device), data.classes
                )
                scores[seed, rows.numpy()] = error.norm(dim=1).cpu().numpy()
        spent["sweeps"] = time.perf_counter() - began
    scores.mean(axis=0)
    return spent | {"whole": time.perf_counter() - started}


def scored(data: Dataset, method: str, config: TrainConfig, device: str, **given: Any) -> float:
    """Seconds of `score` in an empty workdir, its files and processes included."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        prune_kit.score(data, method, config=config, device=device, workdir=folder, **given)
        return time.perf_counter() - started


def our_job(
    data: Dataset, config: TrainConfig, epochs: int, runs: int, device: str, precision: str
) -> float:
    """Seconds of the whole EL2N job."""
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
    """Seconds of an epoch of training and of a sweep of all rows, in this process; medians over `epochs`.

    `before` is what the first epoch took longer. `launched` steps are neither replayed nor
    compiled.
    """
    pictures, *_ = images.of_data(data, device)
    members = torch.from_numpy(data.rows.training).to(device)
    labels = torch.from_numpy(data.labels).to(device)
    steps = schedule.steps_per_epoch(len(members), config.batch_size, drop_last=config.drop_last)
    training = loop.Training(
        pictures, labels, members, config, 0, config.epochs * steps, steps, precision
    )
    found: dict[str, list[float]] = {"training": [], "sweeps": []}
    with cuda_graphs.own_stream(device), loop.in_tf32(device):
        model = loop.placed(
            models.build(config.model, shape=data.shape, classes=data.classes, seed=0), device
        )
        optimizer = optimizers.optimizer_for(model, config)
        taken = None if launched else cuda_graphs.fastest(model, optimizer, training)
        for epoch in range(1, epochs + 2):
            for name, work in (
                (
                    "training",
                    lambda e=epoch: loop.train_epoch(model, optimizer, training, e, steps=taken),
                ),
                ("sweeps", lambda: loop.evaluate(model, pictures, precision, members)),
            ):
                synchronise(device)
                began = time.perf_counter()
                work()
                synchronise(device)
                found[name].append(time.perf_counter() - began)
    if taken is not None and (remark := cuda_graphs.remark(taken)):
        print(f"{config.model}, {precision}{remark}")
    medians = {name: statistics.median(seconds[1:]) for name, seconds in found.items()}
    return medians | {"before": found["training"][0] - medians["training"]}


def synchronise(device: torch.device) -> None:
    """Wait for a GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_rate(device: torch.device, precision: str) -> float:
    """Multiplications and additions a second of a large product of matrices."""
    size = MATRIX[device.type]
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    one, other = (torch.randn(size, size, device=device, dtype=kind) for _ in range(2))
    seconds = []
    with loop.in_tf32(device):
        for _ in range(4):
            synchronise(device)
            began = time.perf_counter()
            one @ other
            synchronise(device)
            seconds.append(time.perf_counter() - began)
    return 2 * size**3 / min(seconds[1:])


def forward_operations(name: str, data: Dataset) -> int:
    """Multiplications and additions of one example's forward pass."""
    model = models.build(name, shape=data.shape, classes=data.classes, seed=0).eval()
    height, width, channels = data.shape
    with FlopCounterMode(display=False) as counted, torch.no_grad():
        model(torch.zeros(1, channels, height, width))
    return int(counted.get_total_flops())


def part_of(data: Dataset, count: int) -> Dataset:
    """The first `count` training rows of every source, spread over it, and a small test set."""
    rows = data.rows.training[:: max(len(data.rows.training) // count, 1)][:count]
    test = np.arange(0, len(data.test.label), max(len(data.test.label) // 500, 1))
    return from_arrays(
        np.ascontiguousarray(data.images[rows]), data.labels[rows], name=data.name, spec=data.rows.data,
        class_names=data.class_names, test_images=data.test.images[test], test_label=data.test.label[test],
    )  # fmt: skip


def protocol(model: str, epochs: int, augmented: bool) -> TrainConfig:
    """The same for every network: batch 128, a constant rate."""
    return TrainConfig(
        model=model, epochs=epochs, learning_rate=0.05, schedule="constant",
        crop_padding=PADDING if augmented else 0, flip=augmented,
    )  # fmt: skip


def job(data: Dataset, name: str, given: argparse.Namespace) -> None:
    """The whole EL2N job, several networks and one, ours and plain in turns."""
    device = torch.device(given.device)
    config = protocol(name, given.epoch, data.shape[2] == 3)
    kinds = ["auto", "fp32"] if given.precision == "both" else [given.precision]
    print(f"\n{name}, {len(data.rows.training):,} rows of {data.name}, EL2N after {given.epoch} epochs; "
          f"auto is {cpu_precision(name, data.shape) if device.type == 'cpu' else 'bf16'}")  # fmt: skip
    print(f"{'':26}{'plain loop s':>14}{'ours s':>10}{'ratio':>8}")
    for runs in (given.runs, 1):
        ratios: dict[str, list[float]] = {kind: [] for kind in kinds}
        ours: dict[str, list[float]] = {kind: [] for kind in kinds}
        theirs = []
        our_job(
            data, replace(config, epochs=1), 1, runs, given.device, "auto"
        )  # the processes start
        for _ in range(given.repeats):
            theirs.append(
                plain_job(data, config, given.epoch, runs, device, given.workers)["whole"]
            )
            for kind in kinds:
                ours[kind].append(our_job(data, config, given.epoch, runs, given.device, kind))
                ratios[kind].append(theirs[-1] / ours[kind][-1])
        for kind in kinds:
            label = f"{runs} {'run' if runs == 1 else 'runs'}, {kind}"
            print(f"{label:26}{statistics.median(theirs):>14.1f}{statistics.median(ours[kind]):>10.1f}"
                  f"{statistics.median(ratios[kind]):>7.2f}x", flush=True)  # fmt: skip


def parts(data: Dataset, name: str, given: argparse.Namespace) -> None:
    """Images a second of training and sweeping, ours and plain, and the share of the machine's peak; all threads."""
    device = torch.device(given.device)
    config = protocol(name, 3, data.shape[2] == 3)
    operations, count = forward_operations(name, data), len(data.rows.training)
    print(
        f"\n{name}, one network, {torch.get_num_threads()} threads, {operations / 1e6:.1f} M "
        "operations forward"
    )
    print(f"{'':26}{'training/s':>12}{'of peak':>9}{'sweep/s':>12}{'of peak':>9}{'peak G/s':>10}")
    rows: dict[str, list[dict[str, float]]] = {
        "plain loop, fp32": [],
        "ours, fp32": [],
        "ours, bf16": [],
    }
    for _ in range(given.repeats):
        plain = plain_job(data, config, 1, 2, device, given.workers)
        rows["plain loop, fp32"].append({key: plain[key] for key in ("training", "sweeps")})
        for precision in ("fp32", "bf16"):
            rows[f"ours, {precision}"].append(our_parts(data, config, device, precision, 1))
    for label, found in rows.items():
        rate = peak_rate(device, label[-4:])
        line = f"{label:26}"
        for part, passes in (("training", 3), ("sweeps", 1)):
            speed = count / statistics.median(one[part] for one in found)
            line += f"{speed:>12,.0f}{100 * speed * passes * operations / rate:>8.1f}%"
        print(f"{line}{rate / 1e9:>10,.0f}", flush=True)


def agreement(data: Dataset, name: str, given: argparse.Namespace) -> None:
    """Spearman between EL2N tables of disjoint seeds, within fp32 and between fp32 and bf16."""
    config = protocol(name, given.epoch, data.shape[2] == 3)
    tables: dict[tuple[str, int], np.ndarray] = {}
    with tempfile.TemporaryDirectory() as folder:
        for precision, group in product(("fp32", "bf16"), range(2)):
            first = 100 * group
            table = prune_kit.score(
                data, "el2n", epoch=given.epoch, runs=given.runs, config=config, seed=first, observe="sweep",
                device=given.device, precision=precision, workdir=folder,
            )  # fmt: skip
            tables[precision, group] = table.column(f"el2n@{given.epoch}").values[
                data.rows.training
            ]
    print(
        f"\n{name}, {len(data.rows.training):,} rows, EL2N@{given.epoch} over {given.runs} runs, "
        "Spearman"
    )
    for (kind, group), (other, second) in combinations(tables, 2):
        found = spearmanr(tables[kind, group], tables[other, second]).statistic
        seeds = "the same seeds" if group == second else "other seeds"
        print(f"{kind} with {other}, {seeds}: {found:.4f}")


def gpu(data: Dataset, given: argparse.Namespace) -> None:
    """What the project promises of a GPU: the share of the peak, EL2N and GraNd over ten runs, several at once."""
    config = TrainConfig(
        model="resnet18",
        epochs=200,
        learning_rate=0.1,
        milestones=(60, 120, 160),
        crop_padding=PADDING,
        flip=True,
    )
    parts = given.gpu
    if "steps" in parts:
        for name in given.models or ["resnet18", "convnet", "mlp"]:
            step_kinds(data, replace(config, model=name), given)
    runs = given.runs or 10
    jobs = [("el2n", given.epoch or 20, "auto"), ("grand", 1, "auto"), ("grand", 1, "bf16")]
    for method, epoch, precision in [one for one in jobs if one[0] in parts]:
        seconds = scored(
            data, method, config, given.device, epoch=epoch, runs=runs, precision=precision
        )
        print(f"resnet18, score --method {method} --epoch {epoch} --runs {runs} --precision {precision}: "
              f"{seconds:.1f} s", flush=True)  # fmt: skip
    if "seeds" in parts:
        for name, epoch in (("convnet", given.epoch or 20), ("resnet18", given.epoch or 5)):
            chosen, words = replace(config, model=name), []
            for at_once in (1, 2, 4):
                scored(
                    data, "el2n", chosen, given.device, epoch=1, runs=at_once, jobs=at_once
                )  # the processes start
                seconds = scored(
                    data, "el2n", chosen, given.device, epoch=epoch, runs=4, jobs=at_once
                )
                words.append(f"{at_once} at once {seconds:.1f} s")
            print(f"{name}, four runs, EL2N at epoch {epoch}: {', '.join(words)}", flush=True)


def step_kinds(data: Dataset, config: TrainConfig, given: argparse.Namespace) -> None:
    """Training by launched, replayed and compiled steps, and by the plain loop, in turns; when compiling pays."""
    device, operations = torch.device(given.device), forward_operations(config.model, data)
    count, rate = len(data.rows.training), peak_rate(device, "bf16")
    kinds: dict[str, tuple[str, TrainConfig, bool]] = {
        "launched, fp32": ("fp32", config, True),
        "launched, bf16": ("bf16", config, True),
        "replayed, bf16": ("bf16", config, False),
        "replayed, bf16, compiled": ("bf16", replace(config, compiled=True), False),
    }
    found: dict[str, list[dict[str, float]]] = {
        "plain loop, fp32": [],
        **{kind: [] for kind in kinds},
    }
    for turn in range(1, given.repeats + 1):
        plain = plain_job(data, config, 1, 2, device, given.workers)
        found["plain loop, fp32"].append(
            {"training": plain["training"], "sweeps": plain["sweeps"], "before": 0.0}
        )
        for kind, (precision, chosen, launched) in kinds.items():
            found[kind].append(our_parts(data, chosen, device, precision, 3, launched=launched))
        words = (f"{kind} {each[-1]['training']:.3f}" for kind, each in found.items())
        print(f"{config.model}, turn {turn}, seconds an epoch: {'; '.join(words)}", flush=True)
    print(
        f"\n{config.model}, {count:,} rows, peak {rate / 1e12:.1f} T/s in bf16, medians of "
        f"{given.repeats}"
    )
    print(f"{'':30}{'training/s':>12}{'of peak':>9}{'sweep/s':>12}{'epoch s':>9}{'before s':>10}")
    middle = {
        kind: {part: statistics.median(one[part] for one in each) for part in each[0]}
        for kind, each in found.items()
    }
    for kind, seconds in middle.items():
        speed = count / seconds["training"]
        print(f"{kind:30}{speed:>12,.0f}{300 * speed * operations / rate:>8.1f}%{count / seconds['sweeps']:>12,.0f}"
              f"{seconds['training']:>9.3f}{max(found[kind][0]['before'], 0.0):>10.1f}", flush=True)  # fmt: skip
    gained = middle["replayed, bf16"]["training"] - middle["replayed, bf16, compiled"]["training"]
    first = found["replayed, bf16, compiled"][0]["before"]
    pays = f"pays from {first / gained:,.0f} epochs on" if gained > 0 else "does not pay"
    print(
        f"torch.compile {pays} (what it took the first time, by what each epoch is shorter)",
        flush=True,
    )


def words(text: str) -> list[str]:
    """Those of a list by commas."""
    return [word for word in text.split(",") if word]


def main() -> None:
    """Print the machine and the tables asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="digits", help="folder:DIR, as for prune-kit score")
    usual = "cuda:0" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", default=usual, help=f"cpu, cuda:0, ... (default here: {usual})")
    parser.add_argument(
        "--models", type=words, help="by commas (default: convnet, with --gpu resnet18,convnet,mlp)"
    )
    parser.add_argument(
        "--rows", type=int, help="training rows, 0 for all (default: 5000, with --gpu all)"
    )
    parser.add_argument("--epoch", type=int, help="default: 4, with --gpu 20")
    parser.add_argument("--runs", type=int, help="default: 4, with --gpu 10")
    parser.add_argument(
        "--repeats", type=int, default=3, help="turns of which the medians are told (default: 3)"
    )
    parser.add_argument(
        "--workers", type=int, default=len(os.sched_getaffinity(0)), help="of the plain loop's"
    )
    parser.add_argument(
        "--precision", default="both", choices=PRECISIONS, help="of ours; both are auto and fp32"
    )
    parser.add_argument(
        "--agreement",
        action="store_true",
        help="EL2N of fp32 and bf16, of the same and other seeds",
    )
    parser.add_argument(
        "--parts", action="store_true", help="images a second of training and sweeps only"
    )
    parser.add_argument(
        "--gpu", nargs="?", type=words, const=[*GPU_PARTS], metavar="PARTS",
        help="what is promised of a GPU, by commas (default: all). steps: launched, replayed and compiled ones; el2n, "
        "grand: whole score jobs; seeds: networks at once",
    )  # fmt: skip
    parser.add_argument(
        "--cudnn-tries",
        action="store_true",
        help="in this process; its choices last as long as that",
    )
    given = parser.parse_args()
    wrong = [part for part in given.gpu or () if part not in GPU_PARTS]
    if wrong:
        parser.error(f"--gpu {wrong[0]} is no part; there are {', '.join(GPU_PARTS)}")
    numbers = {"repeats": given.repeats, "epoch": given.epoch, "runs": given.runs}
    small = [name for name, number in numbers.items() if number is not None and number < 1]
    if small or (given.rows or 0) < 0:
        parser.error(f"--{(small or ['rows'])[0]} is too small: at least {1 if small else 0}")
    if not given.gpu:
        small = {"epoch": 4, "runs": 4, "rows": 5000}
        vars(given).update({name: small[name] for name in small if getattr(given, name) is None})
    try:
        given.device = Execution(device=given.device).resolve().device
        device = torch.device(given.device)
        for name in given.models or ():
            models.build(name, shape=(32, 32, 3), classes=2, seed=0)
        data = load_data(given.data)
    except PruneKitError as error:
        parser.error(str(error))
    data = part_of(data, given.rows) if given.rows else data
    print(f"{machine(device)}; medians of {given.repeats}")
    allocator.keep_freed_memory()
    torch.backends.cudnn.benchmark = given.cudnn_tries
    if given.gpu:
        gpu(data, given)
        return
    with using_threads(torch.get_num_threads()):
        for name in given.models or ["convnet"]:
            if given.agreement:
                agreement(data, name, given)
                continue
            if not given.parts:
                job(data, name, given)
            parts(data, name, given)


if __name__ == "__main__":
    main()
