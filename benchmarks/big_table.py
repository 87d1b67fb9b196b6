"""Seconds and memory of select, info and --help on a table of many rows.

    python benchmarks/big_table.py                  14,000,000 rows
    python benchmarks/big_table.py --rows 1000000 --keep-files FOLDER

Each command runs in a process of its own, as its users run it, and start-up is included.
"""

import argparse
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from prune_kit.data import identity
from prune_kit.results.column import ScoreColumn
from prune_kit.results.table import ScoreTable

CLASSES = 1000


def table_of(count: int) -> ScoreTable:
    """A table of one EL2N column over `count` rows, with the ids of an image folder."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, CLASSES, count)
    ids = np.char.add(np.char.add(label.astype("S4"), b"/image-"), np.arange(count).astype("S9"))
    rows = identity.Rows(
        id=ids,
        digest=rng.integers(0, 2**63, count, dtype=np.uint64),
        label=label,
        role=np.zeros(count, dtype=np.uint8),
        class_names=tuple(f"class {number}" for number in range(CLASSES)),
        data="folder:somewhere",
        test_fingerprint="0" * 32,
    )
    column = ScoreColumn(
        "el2n@20", rng.random(count, dtype=np.float32), "el2n", "higher", {"epoch": 20}, (0,)
    )
    return ScoreTable(rows, {column.name: column})


def write(count: int, path: Path) -> None:
    """Write the table."""
    table_of(count).write(path)


def measured(words: list[str], folder: Path) -> tuple[float, float]:
    """Seconds and peak memory in MiB of a command. Raises CalledProcessError if it fails."""
    started = time.perf_counter()
    process = subprocess.Popen(
        ["prune-kit", *words], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    return time.perf_counter() - started, usage.ru_maxrss / 1024


def main() -> None:
    """Write the table, run the commands in turns, print the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=14_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--keep-files", type=Path, help="write here, and leave the files there")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.keep_files or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "scores.h5"
        writer = multiprocessing.Process(target=write, args=(given.rows, path))
        writer.start()
        writer.join()
        commands = {
            "--help": ["--help"],
            "info": ["info", str(path)],
            "select --keep 0.5 --offset 0.02": [
                "select", "--scores", str(path), "--keep", "0.5", "--offset", "0.02",
                "--out", str(folder / "half.h5"),
            ],
            "select --rule top --per-class": [
                "select", "--scores", str(path), "--rule", "top", "--keep", "0.5", "--per-class",
                "--out", str(folder / "top.h5"),
            ],
            "info of the selection": ["info", str(folder / "half.h5")],
        }  # fmt: skip
        measurements: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for _ in range(given.repeats):
            for name, words in commands.items():
                measurements[name].append(measured(words, folder))
        import torch  # only here, because a command starts with the memory that this process has
        from this_machine import machine

        print(machine(torch.device("cpu")))
        print(
            f"{given.rows:,} rows, {path.stat().st_size / 2**20:,.0f} MiB; medians of "
            f"{given.repeats}"
        )
        print(f"{'':34}{'seconds':>9}{'peak MiB':>10}")
        for name, runs in measurements.items():
            seconds, memory = (statistics.median(values) for values in zip(*runs, strict=True))
            print(f"{name:34}{seconds:>9.2f}{memory:>10,.0f}")


if __name__ == "__main__":
    main()
