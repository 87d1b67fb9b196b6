"""Where networks train: the device, the precision, how many at once, the CPU threads of each; resolved once."""

import os
from dataclasses import dataclass

from prune_kit import registry
from prune_kit.errors import OptionError
from prune_kit.protocol.processor import multiplies_bf16

PRECISIONS = ("fp32", "bf16")
FOLD_THREADS = (
    1  # CPU threads of the many small networks of holdout validation, unless others are asked for
)


@dataclass(frozen=True, kw_only=True)
class Execution:
    """Where and how a training runs: `device` "cpu" or "cuda:0", `precision`, CPU `threads`, and `jobs` at once.

    Device kind, precision and, on a CPU, threads can change the last bits of a result, so they are
    part of a run's inputs; `jobs` changes nothing but the time (of folds in bf16 the last bits,
    too: `training.holdout`), and is `limited` where more were asked for than the cores hold.
    `gradient_precision` is that of gradient norms, which are measured and not trained with: fp32
    unless bf16 was asked for in so many words.
    """

    device: str
    precision: str
    threads: int
    jobs: int = 1
    limited: bool = False
    gradient_precision: str = "fp32"

    @property
    def on_cpu(self) -> bool:
        """Whether the CPU trains."""
        return self.device == "cpu"

    @property
    def settled_threads(self) -> int | None:
        """The threads as files and keys hold them: None on a GPU, where they change no bit."""
        return self.threads if self.on_cpu else None

    def describe(self, pieces: int, *, groups: bool = False) -> str:
        """One line in plain words about the training of so many networks, or groups of them."""
        at_once = min(self.jobs, pieces)
        one, several = (
            ("group of networks", "groups of networks") if groups else ("network", "networks")
        )
        number = f"{at_once} {several} at once" if at_once > 1 else f"one {one} at a time"
        threads = f", {self.threads} thread{'s' * (self.threads != 1)} each" if self.on_cpu else ""
        if self.on_cpu and self.threads > _cores():
            threads += " (slow: there are fewer cores)"
        slow = self.on_cpu and self.precision == "bf16" and not multiplies_bf16()
        warning = " (slow: this CPU tells of no instructions for it)" if slow else ""
        limit = ", since more would take more threads than there are cores" if self.limited else ""
        return f"{self.device} in {self.precision}{warning}: {number}{threads}{limit}"


def resolve_execution(
    device: str = "auto",
    precision: str = "auto",
    *,
    jobs: int | None = None,
    threads: int | None = None,
    networks: int = 1,
    settled_precision: str = "auto",
    cpu_precision: str = "fp32",
) -> Execution:
    """Turn "auto" into what this machine has, for training `networks` networks.

    A CPU trains as many networks at once as it has cores, and each gets an equal share of them: for
    the small networks that CPUs train, this is faster than sharing the cores within one network.
    `threads` and `settled_precision`, where the user or an earlier run settled them, stay; the
    latter is no wish for gradients in it. What is left open is bf16 on a GPU and `cpu_precision` on
    a CPU. `jobs` never changes the threads: without it, or where networks of several threads each
    would take more than there are cores, as many train at once as fit. Raises OptionError for a
    device that is not there, and for numbers below 1.
    """
    for name, number in (("--jobs", jobs), ("--threads", threads)):
        if number is not None and number < 1:
            raise OptionError(f"{name} {number} is out of range; at least 1")
    device = _resolve_device(device)
    gradient_precision = "fp32" if precision == "auto" else precision
    if precision == "auto":
        precision = settled_precision
    if precision == "auto":
        precision = cpu_precision if device == "cpu" else "bf16"
    if precision not in PRECISIONS:
        raise registry.unknown_name_error("precision", precision, ("auto", *PRECISIONS))
    cores, asked = _cores(), jobs
    if device == "cpu":
        threads = threads or max(cores // max(networks, 1), 1)
        fitting = max(cores // threads, 1)
        # single threads take turns on a core; those of one network wait for each other: 8 on 2
        # cores run 15x slower
        jobs = fitting if jobs is None else jobs if threads == 1 else min(jobs, fitting)
    else:
        jobs = jobs or 1
        threads = max(cores // jobs, 1)
    return Execution(
        device=device,
        precision=precision,
        threads=threads,
        jobs=jobs,
        limited=asked not in (None, jobs),
        gradient_precision=gradient_precision,
    )


def check_threads(threads: int | None) -> None:
    """Raise OptionError for more `threads` than there are cores: they wait for each other, and stall the machine.

    Those that a file settled elsewhere may be more: only so can it be extended.
    """
    cores = _cores()
    if threads is not None and threads > cores:
        raise OptionError(
            f"--threads {threads} is more than this machine's cores, {cores}. Leave it out; other "
            "threads than those a result was made with change it a little"
        )


def _cores() -> int:
    """The CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _resolve_device(device: str) -> str:
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "auto":
        device = "cuda" if count else "cpu"
    kind, _, index = device.partition(":")
    if kind not in ("cpu", "cuda") or (device != kind and (kind == "cpu" or not index.isdigit())):
        raise OptionError(
            f"unknown device {device!r}; expected auto, cpu, cuda or cuda:0, cuda:1, ..."
        )
    if kind == "cuda" and int(index or 0) >= count:
        raise OptionError(
            f"device {device!r} is not there: this machine has {count} CUDA devices. Try --device "
            "cpu"
        )
    return "cpu" if kind == "cpu" else f"cuda:{int(index or 0)}"
