"""Speed of C-scores in network-epochs per second, against a plain loop, and the effect of bf16.

    python benchmarks/cscore.py --data mnist:DIR                 as `score --method cscore` trains
    python benchmarks/cscore.py --data mnist:DIR --ways          single and batched networks
    python benchmarks/cscore.py --data mnist:DIR --agreement     correlations between precisions

The plain loop trains the same networks one after the other, with float32 tensors in memory, an
nn.Module, autograd, the default SGD, and all cores for one network. Both train on half of the rows
and then classify the rest. `--ways` runs in one process. On a GPU, `--device cuda --paper` times
9 ratios x 200 folds x 10 epochs.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import combinations, product
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from this_machine import machine

from prune_kit import models
from prune_kit.data.dataset import Dataset
from prune_kit.data.spec import load_data
from prune_kit.protocol.config import TrainConfig
from prune_kit.protocol.execution import Execution, ResolvedExecution
from prune_kit.runs import folds
from prune_kit.runs.holdout import Holdout
from prune_kit.runs.subsets import held_out_sets
from prune_kit.training import allocator, ensemble, loop, optimizers, schedule
from prune_kit.training.images import normalisation, on_device

EPOCHS = 10
RATIO = 50
AGREEMENT_RATIOS = (30,)
AGREEMENT_FOLDS = 6
AGREEMENT_EPOCHS = 5
PAPER_RATIOS = tuple(range(10, 100, 10))
PAPER_FOLDS = 200
PAPER_EPOCHS = 10


def protocol(model: str, epochs: int) -> TrainConfig:
    """The protocol of the authors' MNIST script, or the same for another network."""
    return TrainConfig(
        model=model, epochs=epochs, batch_size=128, nesterov=False, weight_decay=0.0,
        schedule="constant", learning_rate=0.1 if model == "mlp" else 0.05,
    )  # fmt: skip


def plain(data: Dataset, config: TrainConfig, device: torch.device, networks: int) -> float:
    """Seconds of training `networks` networks one after the other, by the usual code."""
    mean, std = (torch.tensor(constant).float() for constant in normalisation(data))
    x = (torch.from_numpy(data.images).float() - mean) / std
    x = x.permute(0, 3, 1, 2).contiguous().to(device)
    y = torch.from_numpy(data.labels).to(device)
    started = time.perf_counter()
    for seed in range(networks):
        torch.manual_seed(seed)
        (held_out,) = held_out_sets(data.rows.training, RATIO, 1, seed=seed, sampling="uniform")
        members = torch.from_numpy(np.setdiff1d(data.rows.training, held_out)).to(device)
        model = models.build(config.model, shape=data.shape, classes=data.classes, seed=seed)
        model = model.to(device)
        optimizer = torch.optim.SGD(
            model.parameters(), lr=config.learning_rate, momentum=config.momentum
        )
        for _ in range(config.epochs):
            order = members[torch.randperm(len(members), device=device)]
            for rows in order.split(config.batch_size):
                optimizer.zero_grad()
                functional.cross_entropy(model(x[rows]), y[rows]).backward()
                optimizer.step()
        with torch.no_grad():
            asked = torch.from_numpy(held_out).to(device)
            sum(int((model(x[rows]).argmax(1) == y[rows]).sum()) for rows in asked.split(1000))
    return time.perf_counter() - started


def ours(data: Dataset, config: TrainConfig, execution: ResolvedExecution, networks: int) -> float:
    """Seconds of `networks` folds, trained as `score` trains them, with their files."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        holdout = folds.complete_folds(
            Holdout(
                data,
                config,
                seed=0,
                runs_folder=Path(folder),
                ratios=(RATIO,),
                folds=networks,
                sampling="balanced",
                execution=execution,
            )
        )
        holdout.votes()
        return time.perf_counter() - started


def speed(data: Dataset, model: str, device: str, repeats: int) -> None:
    """Print the network-epochs per second. The contenders take turns."""
    config = protocol(model, EPOCHS)
    cores = torch.get_num_threads()
    counts = {"plain loop, fp32": 1, "ours, fp32": 4 * cores, "ours, bf16": 4 * cores}
    where = {
        name[-4:]: Execution(device=device, precision=name[-4:]).resolve(networks=100)
        for name in counts
    }
    contenders: dict[str, Callable[[int], float]] = {
        "plain loop, fp32": lambda n: plain(data, config, torch.device(device), n),
        "ours, fp32": lambda n: ours(data, config, where["fp32"], n),
        "ours, bf16": lambda n: ours(data, config, where["bf16"], n),
    }
    for name, run in contenders.items():
        run(
            where[name[-4:]].jobs if "ours" in name else 1
        )  # this starts the processes and fills the caches
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, run in contenders.items():
            rates[name].append(counts[name] * EPOCHS / run(counts[name]))
    print(
        f"\n{model}, {data.name}, {RATIO} % of {len(data.rows.training):,} rows, batch "
        f"{config.batch_size}"
    )
    print(f"{'':24}{'network-epochs/s':>18}{'of the plain loop':>20}")
    for name, own in rates.items():
        ratios = [rate / base for rate, base in zip(own, rates["plain loop, fp32"], strict=True)]
        print(f"{name:24}{statistics.median(own):>18.3f}{statistics.median(ratios):>19.2f}x")


def ways(data: Dataset, model: str, device: torch.device, repeats: int, trained_rows: int) -> None:
    """Print what batching several networks gains, in one process and with one thread on a CPU."""
    torch.set_num_threads(1)
    allocator.keep_freed_memory()
    config = protocol(model, 1)
    images = on_device(data.images, *normalisation(data), device)
    labels = torch.from_numpy(data.labels).to(device)
    rows = torch.from_numpy(data.rows.training[:trained_rows]).to(device)
    steps = schedule.steps_per_epoch(len(rows), config.batch_size, drop_last=False)

    def network(seed: int) -> torch.nn.Module:
        return models.build(model, shape=data.shape, classes=data.classes, seed=seed)

    def alone(precision: str) -> float:
        trained = network(0).to(device).to(memory_format=torch.channels_last)
        training = loop.Training(images, labels, rows, config, 0, steps, steps, precision)
        started = time.perf_counter()
        loop.train_epoch(trained, optimizers.optimizer_for(trained, config), training, 1)
        return 1 / (time.perf_counter() - started)

    def together(precision: str, count: int, batched_mlp: bool) -> float:
        stacked = ensemble.stack(
            [network(seed) for seed in range(count)], device, precision, batched_mlp=batched_mlp
        )
        members = rows.expand(count, -1)
        started = time.perf_counter()
        ensemble.train_epoch(stacked, images, labels, members, list(range(count)), config, 1)
        return count / (time.perf_counter() - started)

    tried: dict[str, Callable[[], float]] = {}
    # torch.func does not take batch norm in bf16.
    batch_norm = any(isinstance(layer, torch.nn.BatchNorm2d) for layer in network(0).modules())
    batched_mlp = bool(ensemble.mlp_layers(network(0)))
    for precision in ("fp32", "bf16"):
        tried[f"the usual loop, {precision}"] = lambda p=precision: alone(p)
        for count in (1, 4, 16):
            if batched_mlp:
                tried[f"by hand, {count} at once, {precision}"] = lambda p=precision, n=count: (
                    together(p, n, True)
                )
            if count > 1 and (precision == "fp32" or not batch_norm):
                tried[f"torch.func, {count} at once, {precision}"] = lambda p=precision, n=count: (
                    together(p, n, False)
                )
    for run in tried.values():
        run()
    rates: dict[str, list[float]] = {name: [] for name in tried}
    for _ in range(repeats):
        for name, run in tried.items():
            rates[name].append(run())
    base = rates["the usual loop, fp32"]
    print(f"\n{model}, {len(rows):,} rows, one process, {torch.get_num_threads()} thread")
    for name, own in rates.items():
        ratio = statistics.median(rate / other for rate, other in zip(own, base, strict=True))
        print(f"{name:32}{statistics.median(own):>10.3f} network-epochs/s{ratio:>8.2f}x")


def agreement(data: Dataset, device: str) -> None:
    """Print Spearman between C-scores of disjoint seeds, within and between precisions."""
    config = protocol("mlp", AGREEMENT_EPOCHS)
    scores: dict[tuple[str, int], np.ndarray] = {}
    with tempfile.TemporaryDirectory() as folder:
        for precision, seed in product(("fp32", "bf16"), range(3)):
            holdout = folds.complete_folds(Holdout(
                data, config, seed=seed + 100 * (precision == "bf16"), runs_folder=Path(folder),
                ratios=AGREEMENT_RATIOS, folds=AGREEMENT_FOLDS, sampling="balanced",
                execution=Execution(device=device, precision=precision).resolve(networks=100),
            ))  # fmt: skip
            asked, right = holdout.votes()
            scores[precision, seed] = (right / asked).mean(axis=0)
            print(
                f"{precision}, seed {seed}: mean C-score {scores[precision, seed].mean():.4f}",
                flush=True,
            )
    for one, other in (("fp32", "fp32"), ("fp32", "bf16"), ("bf16", "bf16")):
        pairs = combinations(range(3), 2) if one == other else product(range(3), range(3))
        values = [spearmanr(scores[one, a], scores[other, b]).statistic for a, b in pairs]
        print(
            f"{one} with {other}: Spearman {np.mean(values):.4f} ({min(values):.4f} to "
            f"{max(values):.4f})"
        )


def paper(data: Dataset, device: str, precision: str) -> None:
    """Print the seconds of the paper's whole MNIST experiment."""
    execution = Execution(device=device, precision=precision).resolve(
        networks=len(PAPER_RATIOS) * PAPER_FOLDS
    )
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        holdout = folds.complete_folds(Holdout(
            data, protocol("mlp", PAPER_EPOCHS), seed=0, runs_folder=Path(folder),
            ratios=PAPER_RATIOS, folds=PAPER_FOLDS, sampling="uniform", execution=execution,
        ))  # fmt: skip
        asked, right = holdout.votes()
        seconds = time.perf_counter() - started
        print(
            f"9 ratios x 200 folds x 10 epochs, {precision}: {seconds:.1f} s, mean C-score "
            f"{(right / asked).mean():.4f}"
        )


def main() -> None:
    """Print the machine and the tables asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="digits", help="mnist:DIR, as for prune-kit score")
    parser.add_argument("--device", default="cuda:0" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--model", action="append", help="default: mlp")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--ways", action="store_true")
    parser.add_argument("--rows", type=int, default=6400, help="of --ways")
    parser.add_argument("--agreement", action="store_true")
    parser.add_argument("--paper", action="store_true")
    given = parser.parse_args()
    data = load_data(given.data)
    device = torch.device(given.device)
    print(f"{machine(device)}; medians of {given.repeats}")
    for model in given.model or ["mlp"]:
        if given.ways:
            ways(data, model, device, given.repeats, given.rows)
        elif not given.agreement and not given.paper:
            speed(data, model, given.device, given.repeats)
    if given.agreement:
        agreement(data, given.device)
    if given.paper:
        for precision in ("bf16", "fp32"):
            paper(data, given.device, precision)


if __name__ == "__main__":
    main()
