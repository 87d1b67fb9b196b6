"""Time of GraNd, as multiples of a plain forward and backward pass of the same batch.

    python benchmarks/grand.py [--device cpu] [--repeats 7] [--network resnet18] [--layout last]
                               [--threads 2]

The contenders:

- `ours`: one batch of a data pass;
- `ours, first batch`: with its plan and self-check;
- `torch.func` in chunks;
- Opacus' per-sample gradients and ghost norms, where it is installed (pip install opacus). It
  refuses batch norm, so both run on a twin with group norm, and are compared with the twin's plain
  pass;
- single examples, one after the other;
- the Jacobian of all losses, O(B^2), measured on fewer examples and scaled up.

Every contender runs in a process of its own, so that its peak memory is its own. There, plain and
contender take turns, and the medians of the paired ratios are printed. All have glibc's thresholds
raised, as the training has. The column `cpu` counts processor seconds: on a machine that is busy
with other work, use it, with `--threads 1`.
"""

import argparse
import ctypes
import importlib.util
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from this_machine import machine

from prune_kit import models
from prune_kit.measures.gradients import norms, plan
from prune_kit.measures.gradients.copies import working_copy
from prune_kit.training.allocator import keep_freed_memory

Step = Callable[[], Any]
BATCHES = {"resnet18": 64, "convnet": 256}
SIDE = 32
CLASSES = 10
FUNC_CHUNK = 16
JACOBIAN_ROWS = 8


def plain(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> Step:
    """A forward and backward pass in eval mode, with the gradients of all parameters."""

    def step() -> None:
        model.zero_grad(set_to_none=True)
        functional.cross_entropy(model(x), y, reduction="sum").backward()

    return step


def ours(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> Step:
    """A batch of a data pass after the first one."""
    chosen = plan.plan(model, x)
    return lambda: norms._norms(chosen, working_copy(model), x, y)


def ours_first_batch(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> Step:
    """The first batch of a data pass, with the plan and its self-check."""
    return lambda: norms._norms(plan.plan(model, x), working_copy(model), x, y)


def torch_func(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> Step:
    """Per-example gradients by torch.func, `FUNC_CHUNK` at a time."""
    parameters = {name: p.detach() for name, p in model.named_parameters()}

    def norm(image: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        def loss(parameters: dict[str, torch.Tensor]) -> torch.Tensor:
            return functional.cross_entropy(
                functional_call(model, parameters, (image[None],)), label[None]
            )

        return torch.stack([g.square().sum() for g in grad(loss)(parameters).values()]).sum().sqrt()

    return lambda: vmap(norm, chunk_size=FUNC_CHUNK)(x, y)


def single(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> Step:
    """Single examples, one after the other."""
    parameters = list(model.parameters())

    def step() -> torch.Tensor:
        norms = []
        for row in range(len(x)):
            loss = functional.cross_entropy(model(x[row : row + 1]), y[row : row + 1])
            norms.append(
                torch.stack([g.square().sum() for g in torch.autograd.grad(loss, parameters)])
                .sum()
                .sqrt()
            )
        return torch.stack(norms)

    return step


def jacobian(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> Step:
    """One backward pass over the whole batch for each of the first `JACOBIAN_ROWS` examples."""
    parameters = list(model.parameters())

    def step() -> torch.Tensor:
        losses = functional.cross_entropy(model(x), y, reduction="none")
        norms = []
        for loss in losses[:JACOBIAN_ROWS]:
            gradients = torch.autograd.grad(loss, parameters, retain_graph=True)
            norms.append(torch.stack([g.square().sum() for g in gradients]).sum().sqrt())
        return torch.stack(norms)

    return step


def opacus_samples(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> Step:
    """Opacus' per-sample gradients."""
    from opacus.grad_sample import GradSampleModule

    wrapped = GradSampleModule(
        model.train(), loss_reduction="sum"
    )  # because it does nothing in eval mode

    def step() -> torch.Tensor:
        wrapped.zero_grad(set_to_none=True)
        functional.cross_entropy(wrapped(x), y, reduction="sum").backward()
        return (
            torch.stack([p.grad_sample.flatten(1).square().sum(1) for p in model.parameters()])
            .sum(0)
            .sqrt()
        )

    return step


def opacus_ghost(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> Step:
    """Opacus' ghost norms."""
    from opacus.grad_sample.grad_sample_module_fast_gradient_clipping import (
        GradSampleModuleFastGradientClipping,
    )

    wrapped = GradSampleModuleFastGradientClipping(
        model.train(), loss_reduction="sum", max_grad_norm=1.0
    )

    def step() -> torch.Tensor:
        wrapped.zero_grad(set_to_none=True)
        functional.cross_entropy(wrapped(x), y, reduction="sum").backward()
        norms: torch.Tensor = wrapped.get_norm_sample()
        return norms

    return step


CONTENDERS: dict[str, Callable[[nn.Module, torch.Tensor, torch.Tensor], Step]] = {
    "plain": plain,
    "ours": ours,
    "ours, first batch": ours_first_batch,
    "torch.func in chunks": torch_func,
    "opacus per-sample": opacus_samples,
    "opacus ghost": opacus_ghost,
    "single examples": single,
    "jacobian O(B^2)": jacobian,
    "ours on the twin": ours,
}


def network(
    name: str, twin: bool, last: bool, device: torch.device
) -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    """The network in eval mode with random batch statistics, and a batch.

    The twin has group norms of 8 channels.
    """
    model = models.build(name, shape=(SIDE, SIDE, 3), classes=CLASSES, seed=0).eval()
    rng = torch.Generator().manual_seed(0)
    for module in list(model.modules()):
        for key, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                if twin:
                    setattr(module, key, nn.GroupNorm(child.num_features // 8, child.num_features))
                else:
                    nn.init.ones_(child.weight)
                    child.running_mean = torch.randn(child.num_features, generator=rng) / 4
                    child.running_var = torch.rand(child.num_features, generator=rng) + 0.5
    x = torch.randn(BATCHES[name], 3, SIDE, SIDE, generator=rng).to(device)
    y = torch.randint(0, CLASSES, (len(x),), generator=rng).to(device)
    if last:
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        x = x.to(memory_format=torch.channels_last)
    return model.to(device), x, y


def measure(
    name: str, contender: str, last: bool, device: torch.device, repeats: int
) -> dict[str, float]:
    """The medians of the paired ratios to the plain pass, and the peak memory above the rest."""
    keep_freed_memory()
    twin = contender.startswith("opacus") or contender.endswith("twin")
    model, x, y = network(name, twin, last, device)
    other, _, _ = network(name, twin, last, device)  # because Opacus changes its network
    step = CONTENDERS[contender](other, x, y)
    step()  # this loads libraries
    memory = statistics.median(peak_bytes(step, device) for _ in range(min(repeats, 5)))
    base = plain(model, x, y)
    base()
    clock = []
    processor = []
    seconds = []
    for _ in range(repeats):
        base_clock, base_processor = timed(base, device)
        step_clock, step_processor = timed(step, device)
        clock.append(step_clock / base_clock)
        processor.append(step_processor / base_processor)
        seconds.append(base_clock)
    scale = len(x) / JACOBIAN_ROWS if contender.startswith("jacobian") else 1
    return {
        "clock": statistics.median(clock) * scale,
        "cpu": statistics.median(processor) * scale,
        "plain": statistics.median(seconds),
        "memory": memory / 2**20,
    }


def timed(step: Step, device: torch.device) -> tuple[float, float]:
    """The clock and the processor seconds of a step."""
    start = time.perf_counter()
    processor = time.process_time()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start, time.process_time() - processor


def peak_bytes(step: Step, device: torch.device) -> float:
    """The peak memory of a step above the memory before it, in bytes; NaN where it is unknown."""
    if device.type == "cuda":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        step()
        return float(torch.cuda.max_memory_allocated() - before)
    reset = Path("/proc/self/clear_refs")
    if not reset.exists():
        return float("nan")
    ctypes.CDLL(None).malloc_trim(0)  # because kept free memory would hide the peak
    reset.write_text("5")  # the peak starts anew: proc(5)
    before = resident("VmRSS")
    step()
    return resident("VmHWM") - before


def resident(kind: str) -> float:
    """This process's memory in bytes: `VmRSS` now, `VmHWM` at its peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) * 1024 for line in lines if line.startswith(kind))


def main() -> None:
    """Run each contender in its own process and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--network", action="append", choices=list(BATCHES))
    parser.add_argument(
        "--layout",
        choices=["first", "last"],
        default="first",
        help="where the channels are in memory",
    )
    parser.add_argument("--only", action="append", choices=list(CONTENDERS))
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    device = torch.device(given.device)
    if given.child:
        name, contender = given.child.split("/")
        print(json.dumps(measure(name, contender, given.layout == "last", device, given.repeats)))
        return
    print(f"{machine(device)}; channels {given.layout}; medians of {given.repeats} pairs")
    for name in given.network or list(BATCHES):
        print(f"\n{name}, {SIDE}x{SIDE}, batch {BATCHES[name]}")
        print(f"{'':24}{'clock':>8}{'cpu':>8}{'peak MiB':>10}")
        for contender in given.only or list(CONTENDERS):
            if contender.startswith("opacus") and importlib.util.find_spec("opacus") is None:
                print(f"{contender:24} not installed")
                continue
            command = [sys.executable, __file__, "--child", f"{name}/{contender}"]
            command += ["--device", given.device]
            command += ["--layout", given.layout, "--repeats", str(given.repeats)]
            command += ["--threads", str(given.threads)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"{contender:24} does not run: {done.stderr.strip().splitlines()[-1]}")
                continue
            row = json.loads(done.stdout.splitlines()[-1])
            print(
                f"{contender:24}{row['clock']:>7.2f}x{row['cpu']:>7.2f}x{row['memory']:>10.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
