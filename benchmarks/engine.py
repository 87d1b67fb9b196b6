"""Speed of training and scoring, against a plain PyTorch loop and the limit of the machine.

    python benchmarks/engine.py --data folder:DIR                  the EL2N job and its parts
    python benchmarks/engine.py --data folder:DIR --models mlp,convnet,resnet18
    python benchmarks/engine.py --data folder:DIR --agreement      bf16 against other seeds
    python benchmarks/engine.py --data cifar10:DIR --gpu           all figures of a GPU
    python benchmarks/engine.py --data cifar10:DIR --gpu steps     of steps, el2n, grand, seeds
    python benchmarks/engine.py --data cifar10:DIR --gpu steps --cudnn-tries

The plain loop trains as is usual: a torchvision data set of PIL images, transforms in DataLoader
workers, float32, the default memory layout, one network after the other with all cores; then a
clean pass for EL2N. Both train the same networks on the same rows by the same protocol, and they
take turns. `of peak` is the arithmetic of forward and backward (three times the multiplications and
additions of the forward pass) as a share of the rate of large matrix products in the same
precision. With `--cudnn-tries`, cuDNN tries its algorithms first.
"""

import argparse
import os
import statistics
import sys
import tempfile
from dataclasses import replace
from itertools import combinations, product
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from engine_jobs import (
    PADDING,
    forward_operations,
    our_job,
    our_parts,
    part_of,
    peak_rate,
    plain_job,
    protocol,
    scored,
)
from this_machine import machine

import prune_kit
from prune_kit import models
from prune_kit.data.dataset import Dataset
from prune_kit.data.spec import load_data
from prune_kit.errors import PruneKitError
from prune_kit.protocol.config import TrainConfig
from prune_kit.protocol.execution import Execution
from prune_kit.protocol.processor import cpu_precision
from prune_kit.training import allocator
from prune_kit.training.threads import using_threads

GPU_PARTS = ("steps", "el2n", "grand", "seeds")
PRECISIONS = ("auto", "fp32", "bf16", "both")


def job(data: Dataset, name: str, given: argparse.Namespace) -> None:
    """Print the seconds of the whole EL2N job, of several networks and of one."""
    device = torch.device(given.device)
    config = protocol(name, given.epoch, data.shape[2] == 3)
    kinds = ["auto", "fp32"] if given.precision == "both" else [given.precision]
    automatic = cpu_precision(name, data.shape) if device.type == "cpu" else "bf16"
    print(
        f"\n{name}, {len(data.rows.training):,} rows of {data.name}, EL2N after {given.epoch} "
        f"epochs; auto is {automatic}"
    )
    print(f"{'':26}{'plain loop s':>14}{'ours s':>10}{'ratio':>8}")
    for runs in (given.runs, 1):
        ratios: dict[str, list[float]] = {kind: [] for kind in kinds}
        ours: dict[str, list[float]] = {kind: [] for kind in kinds}
        theirs = []
        our_job(data, replace(config, epochs=1), 1, runs, given.device, "auto")  # starts processes
        for _ in range(given.repeats):
            plain = plain_job(data, config, given.epoch, runs, device, given.workers)
            theirs.append(plain["whole"])
            for kind in kinds:
                ours[kind].append(our_job(data, config, given.epoch, runs, given.device, kind))
                ratios[kind].append(theirs[-1] / ours[kind][-1])
        for kind in kinds:
            label = f"{runs} {'run' if runs == 1 else 'runs'}, {kind}"
            seconds = f"{statistics.median(theirs):>14.1f}{statistics.median(ours[kind]):>10.1f}"
            print(f"{label:26}{seconds}{statistics.median(ratios[kind]):>7.2f}x", flush=True)


def parts(data: Dataset, name: str, given: argparse.Namespace) -> None:
    """Print the images per second of training and sweeping, and the share of the peak."""
    device = torch.device(given.device)
    config = protocol(name, 3, data.shape[2] == 3)
    operations = forward_operations(name, data)
    count = len(data.rows.training)
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
    for label, measurements in rows.items():
        rate = peak_rate(device, label[-4:])
        line = f"{label:26}"
        for part, passes in (("training", 3), ("sweeps", 1)):
            speed = count / statistics.median(one[part] for one in measurements)
            line += f"{speed:>12,.0f}{100 * speed * passes * operations / rate:>8.1f}%"
        print(f"{line}{rate / 1e9:>10,.0f}", flush=True)


def agreement(data: Dataset, name: str, given: argparse.Namespace) -> None:
    """Print Spearman between EL2N tables of disjoint seeds, within and between precisions."""
    config = protocol(name, given.epoch, data.shape[2] == 3)
    tables: dict[tuple[str, int], np.ndarray] = {}
    with tempfile.TemporaryDirectory() as folder:
        for precision, group in product(("fp32", "bf16"), range(2)):
            first = 100 * group
            table = prune_kit.score(
                data, "el2n", epoch=given.epoch, runs=given.runs, config=config, seed=first,
                observe="sweep", device=given.device, precision=precision, workdir=folder,
            )  # fmt: skip
            values = table.column(f"el2n@{given.epoch}").values
            tables[precision, group] = values[data.rows.training]
    print(
        f"\n{name}, {len(data.rows.training):,} rows, EL2N@{given.epoch} over {given.runs} runs, "
        "Spearman"
    )
    for (kind, group), (other, second) in combinations(tables, 2):
        value = spearmanr(tables[kind, group], tables[other, second]).statistic
        seeds = "the same seeds" if group == second else "other seeds"
        print(f"{kind} with {other}, {seeds}: {value:.4f}")


def gpu(data: Dataset, given: argparse.Namespace) -> None:
    """Print the share of a GPU's peak, and seconds of EL2N, GraNd and several runs at once."""
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
        command = f"score --method {method} --epoch {epoch} --runs {runs} --precision {precision}"
        print(f"resnet18, {command}: {seconds:.1f} s", flush=True)
    if "seeds" in parts:
        for name, epoch in (("convnet", given.epoch or 20), ("resnet18", given.epoch or 5)):
            chosen = replace(config, model=name)
            words = []
            for at_once in (1, 2, 4):
                options = {"device": given.device, "jobs": at_once}
                scored(data, "el2n", chosen, epoch=1, runs=at_once, **options)  # starts processes
                seconds = scored(data, "el2n", chosen, epoch=epoch, runs=4, **options)
                words.append(f"{at_once} at once {seconds:.1f} s")
            print(f"{name}, four runs, EL2N at epoch {epoch}: {', '.join(words)}", flush=True)


def step_kinds(data: Dataset, config: TrainConfig, given: argparse.Namespace) -> None:
    """Print the speed of launched, replayed and compiled steps, and from when compiling pays."""
    device = torch.device(given.device)
    operations = forward_operations(config.model, data)
    count = len(data.rows.training)
    rate = peak_rate(device, "bf16")
    kinds: dict[str, tuple[str, TrainConfig, bool]] = {
        "launched, fp32": ("fp32", config, True),
        "launched, bf16": ("bf16", config, True),
        "replayed, bf16": ("bf16", config, False),
        "replayed, bf16, compiled": ("bf16", replace(config, compiled=True), False),
    }
    measured: dict[str, list[dict[str, float]]] = {
        "plain loop, fp32": [],
        **{kind: [] for kind in kinds},
    }
    for turn in range(1, given.repeats + 1):
        plain = plain_job(data, config, 1, 2, device, given.workers)
        measured["plain loop, fp32"].append(
            {"training": plain["training"], "sweeps": plain["sweeps"], "before": 0.0}
        )
        for kind, (precision, chosen, launched) in kinds.items():
            measured[kind].append(our_parts(data, chosen, device, precision, 3, launched=launched))
        words = (f"{kind} {each[-1]['training']:.3f}" for kind, each in measured.items())
        print(f"{config.model}, turn {turn}, seconds an epoch: {'; '.join(words)}", flush=True)
    print(
        f"\n{config.model}, {count:,} rows, peak {rate / 1e12:.1f} T/s in bf16, medians of "
        f"{given.repeats}"
    )
    print(f"{'':30}{'training/s':>12}{'of peak':>9}{'sweep/s':>12}{'epoch s':>9}{'before s':>10}")
    middle = {
        kind: {part: statistics.median(one[part] for one in each) for part in each[0]}
        for kind, each in measured.items()
    }
    for kind, seconds in middle.items():
        speed = count / seconds["training"]
        before = max(measured[kind][0]["before"], 0.0)
        print(
            f"{kind:30}{speed:>12,.0f}{300 * speed * operations / rate:>8.1f}%"
            f"{count / seconds['sweeps']:>12,.0f}{seconds['training']:>9.3f}{before:>10.1f}",
            flush=True,
        )
    gained = middle["replayed, bf16"]["training"] - middle["replayed, bf16, compiled"]["training"]
    first = measured["replayed, bf16, compiled"][0]["before"]
    pays = f"pays from {first / gained:,.0f} epochs on" if gained > 0 else "does not pay"
    print(
        f"torch.compile {pays} (the seconds before the first step, over those saved per epoch)",
        flush=True,
    )


def words(text: str) -> list[str]:
    """The words of a comma-separated list."""
    return [word for word in text.split(",") if word]


def main() -> None:
    """Print the machine and the tables asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="digits", help="folder:DIR, as for prune-kit score")
    usual = "cuda:0" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", default=usual, help=f"cpu, cuda:0, ... (default here: {usual})")
    parser.add_argument(
        "--models",
        type=words,
        help="separated by commas (default: convnet, with --gpu resnet18,convnet,mlp)",
    )
    parser.add_argument(
        "--rows", type=int, help="training rows, 0 for all (default: 5000, with --gpu all)"
    )
    parser.add_argument("--epoch", type=int, help="default: 4, with --gpu 20")
    parser.add_argument("--runs", type=int, help="default: 4, with --gpu 10")
    parser.add_argument(
        "--repeats",
        type=int,
        default=3,
        help="turns, of which the medians are printed (default: 3)",
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
        help="the figures of a GPU, separated by commas (default: all). steps: launched, replayed "
        "and compiled ones; el2n, grand: whole score jobs; seeds: networks at once",
    )  # fmt: skip
    parser.add_argument(
        "--cudnn-tries",
        action="store_true",
        help="cuDNN tries its algorithms in this process; its choices last as long as that",
    )
    given = parser.parse_args()
    wrong = [part for part in given.gpu or () if part not in GPU_PARTS]
    if wrong:
        parser.error(f"--gpu {wrong[0]} is unknown; expected {', '.join(GPU_PARTS)}")
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
