"""Time and memory of the scores between pairs of rows: kernel densities and the outlier factor.

    python benchmarks/density.py [--rows 50000] [--width 512] [--threads 2] [--device cpu]
                                 [--peer-rows 10000]

They are compared with the usual code for scikit-learn: distances and `rbf_kernel` in blocks of
rows, times a one-hot matrix; and its LocalOutlierFactor. scikit-learn is measured on fewer rows and
scaled up by the square of their share. Every contender runs in a process of its own, and its peak
memory is counted above the data. The column `cpu` counts processor seconds: on a machine that is
busy with other work, use it, divided by the threads. The data are classes of random centres with
normal noise, all set to 0 or more as by a last ReLU, in float32.
"""

import argparse
import ctypes
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from this_machine import machine

from prune_kit.measures.neighbours.densities import kernel_densities
from prune_kit.measures.neighbours.outliers import negative_outlier_factors

CLASSES = 10
NEIGHBOURS = 3
PEER_BLOCK = 1000
Contender = Callable[[torch.Tensor, torch.Tensor], object]


def clusters(rows: int, width: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Points float32 (N, D) around ten centres, and the centre of each (N,)."""
    rng = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, CLASSES, (rows,), generator=rng)
    points = torch.randn(rows, width, generator=rng)
    points += torch.randn(CLASSES, width, generator=rng)[labels]
    return points.relu_(), labels


def rbf_in_blocks(points: torch.Tensor, labels: torch.Tensor) -> np.ndarray:
    """The three densities with scikit-learn, a block of rows against all at a time."""
    from sklearn.metrics.pairwise import euclidean_distances, rbf_kernel

    x = points.numpy()
    y = labels.numpy()
    onehot = np.eye(CLASSES, dtype=np.float32)[y]
    blocks = [x[start : start + PEER_BLOCK] for start in range(0, len(x), PEER_BLOCK)]
    distance = sum(float(euclidean_distances(block, x).sum(dtype=np.float64)) for block in blocks)
    bandwidth = distance / (len(x) * (len(x) - 1)) / 2
    by_class = np.concatenate(
        [rbf_kernel(block, x, gamma=bandwidth**-2) @ onehot for block in blocks]
    )
    total = by_class.sum(1)
    same = by_class[np.arange(len(x)), y]
    return np.stack([total, same, 2 * same - total]) / len(x)


def scikit_learn_lof(points: torch.Tensor, labels: torch.Tensor) -> np.ndarray:
    """The factor of scikit-learn, which measures float32 points in float64."""
    from sklearn.neighbors import LocalOutlierFactor

    fitted = LocalOutlierFactor(n_neighbors=NEIGHBOURS).fit(points.numpy())
    factors: np.ndarray = fitted.negative_outlier_factor_
    return factors


CONTENDERS: dict[str, Contender] = {
    "densities, ours": kernel_densities,
    "densities, scikit-learn": rbf_in_blocks,
    "lof, ours": lambda points, labels: negative_outlier_factors(points, NEIGHBOURS),
    "lof, scikit-learn": scikit_learn_lof,
}


def measure(contender: str, rows: int, width: int, device: torch.device) -> dict[str, float]:
    """The clock and processor seconds, and the peak memory above the data in MiB."""
    run = CONTENDERS[contender]
    run(*(tensor.to(device) for tensor in clusters(500, width)))  # this loads libraries
    points, labels = (tensor.to(device) for tensor in clusters(rows, width))
    if device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = float(torch.cuda.memory_allocated())
    else:
        ctypes.CDLL(None).malloc_trim(0)  # because kept free memory would hide the peak
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew: proc(5)
        before = resident("VmRSS")
    start = time.perf_counter()
    processor = time.process_time()
    run(points, labels)
    clock = time.perf_counter() - start
    cpu = time.process_time() - processor
    peak = float(torch.cuda.max_memory_allocated()) if device.type == "cuda" else resident("VmHWM")
    return {"clock": clock, "cpu": cpu, "memory": (peak - before) / 2**20}


def resident(kind: str) -> float:
    """This process's memory in bytes: `VmRSS` now, `VmHWM` at its peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) * 1024 for line in lines if line.startswith(kind))


def main() -> None:
    """Run each contender in its own process and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--peer-rows", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", action="append", choices=list(CONTENDERS))
    parser.add_argument("--child", choices=list(CONTENDERS), help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    device = torch.device(given.device)
    if given.child:
        print(json.dumps(measure(given.child, given.rows, given.width, device)))
        return
    print(
        f"{machine(device)}, load {os.getloadavg()[0]:.1f}; {given.rows} x {given.width}, "
        f"{CLASSES} classes"
    )
    print(f"{'':26}{'clock s':>10}{'cpu s':>10}{'peak MiB':>10}")
    for contender in given.only or list(CONTENDERS):
        peer = contender.endswith("scikit-learn")
        rows = min(given.peer_rows, given.rows) if peer else given.rows
        command = [sys.executable, __file__, "--child", contender]
        command += ["--rows", f"{rows}", "--width", f"{given.width}"]
        command += ["--threads", f"{given.threads}", "--device", "cpu" if peer else given.device]
        threads = {
            "OMP_NUM_THREADS": f"{given.threads}",
            "OPENBLAS_NUM_THREADS": f"{given.threads}",
        }
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=os.environ | threads
        )
        if done.returncode:
            print(f"{contender:26} does not run: {done.stderr.strip().splitlines()[-1]}")
            continue
        row = json.loads(done.stdout.splitlines()[-1])
        scale = (given.rows / rows) ** 2
        note = f"  measured on {rows} rows, times {scale:.1f}" if scale > 1 else ""
        seconds = f"{row['clock'] * scale:>10.1f}{row['cpu'] * scale:>10.1f}"
        print(f"{contender:26}{seconds}{row['memory']:>10.0f}{note}", flush=True)


if __name__ == "__main__":
    main()
