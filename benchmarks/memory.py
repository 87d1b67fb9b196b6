"""The memory that --dry-run foretells, against what the training of one network takes on a CPU.

    python benchmarks/memory.py                 seven settings, each in a process of its own

The peak is that of the process while it trains one epoch, less what it had after a tiny training,
which loads the libraries.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from this_machine import machine

from prune_kit.data.dataset import Dataset, from_arrays
from prune_kit.protocol.config import TrainConfig
from prune_kit.protocol.execution import ResolvedExecution
from prune_kit.runs.cache import Request, RunInputs
from prune_kit.runs.recorder import complete
from prune_kit.training.footprint import training_bytes

# network, batch, side, channels, rows
SETTINGS = (
    ("mlp", 128, 28, 1, 20000),
    ("mlp", 512, 28, 1, 2000),
    ("convnet", 64, 8, 1, 1400),
    ("convnet", 128, 28, 1, 4000),
    ("convnet", 512, 32, 3, 4000),
    ("resnet18", 32, 32, 3, 256),
    ("resnet18", 128, 32, 3, 384),
)
POLL_SECONDS = 0.005
MIB = 2**20


def made_up(rows: int, side: int, channels: int) -> Dataset:
    """Random images of ten classes, and 64 of them for the test."""
    rng = np.random.default_rng(0)
    images, test = (
        rng.integers(0, 256, (count, side, side, channels)).astype(np.uint8) for count in (rows, 64)
    )
    return from_arrays(
        images, np.arange(rows) % 10, name="made up", spec="made up",
        test_images=test, test_label=np.arange(64) % 10,
    )  # fmt: skip


def resident() -> int:
    """The bytes of memory that this process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def train(data: Dataset, config: TrainConfig) -> None:
    """One epoch of one network on one CPU thread, as `score` trains it."""
    where = ResolvedExecution(device="cpu", precision="fp32", threads=1)
    with tempfile.TemporaryDirectory() as folder:
        run = RunInputs(data, config, 0, where)
        complete(run, Request(1, minibatches=True), Path(folder), lambda *_: None)


def measure(model: str, batch: int, side: int, channels: int, rows: int) -> None:
    """Print one line: what is foretold, what was taken, and their ratio."""
    train(made_up(16, side, channels), TrainConfig(model="mlp", epochs=1, batch_size=8))
    data = made_up(rows, side, channels)
    config = TrainConfig(model=model, epochs=1, batch_size=batch, learning_rate=0.01)
    foretold = training_bytes(config, data)
    before = resident() - data.images.size
    peak = before
    ended = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not ended.is_set():
            peak = max(peak, resident())
            time.sleep(POLL_SECONDS)

    watcher = threading.Thread(target=watch)
    watcher.start()
    train(data, config)
    ended.set()
    watcher.join()
    taken = peak - before
    shape = f"{side}x{side}x{channels}"
    print(f"{model:9}{batch:>6}{shape:>9}{rows:>8,}{foretold / MIB:>10.1f}{taken / MIB:>10.1f}"
          f"{taken / foretold:>8.2f}")  # fmt: skip


def main() -> None:
    """Every setting in a process of its own, or one."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--setting", type=int, help="One of the settings, by its number.")
    given = parser.parse_args()
    if given.setting is not None:
        measure(*SETTINGS[given.setting])
        return
    print(machine(torch.device("cpu")))
    print("network   batch    shape    rows  foretold     taken   ratio   (MiB)")
    for number in range(len(SETTINGS)):
        subprocess.run([sys.executable, __file__, "--setting", str(number)], check=True)


if __name__ == "__main__":
    main()
