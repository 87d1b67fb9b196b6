"""Where networks train: Execution, as it is asked for, and ResolvedExecution, as it is settled."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prune_kit import registry
from prune_kit.errors import OptionError
from prune_kit.protocol.processor import multiplies_bf16

if TYPE_CHECKING:
    from prune_kit.protocol.setup import Setup

AUTO = "auto"
PRECISIONS = ("fp32", "bf16")
# CPU threads of the many small networks of holdout validation, unless others are asked for
FOLD_THREADS = 1
NAMES = ("device", "precision", "jobs", "threads")


@dataclass(frozen=True, kw_only=True)
class ResolvedExecution:
    """Where and how a training runs, with nothing left open.

    The kind of device, the precision and, on a CPU, the threads can change the last bits of a
    result. They are part of a run's inputs. `jobs` changes nothing but the time.

    Parameters
    ----------
    device : "cpu", or "cuda:0" and the like.
    precision : "fp32" or "bf16".
    threads : the CPU threads of each network, at least 1.
    jobs : how many networks train at once, at least 1.
    limited : whether fewer train at once than were asked for, for want of cores.
    gradient_precision : the precision in which gradient norms are measured. It is fp32 unless bf16
        was asked for by name.
    """

    device: str
    precision: str
    threads: int
    jobs: int = 1
    limited: bool = False
    gradient_precision: str = "fp32"

    @property
    def kind(self) -> str:
        """The kind of device: "cpu" or "cuda"."""
        return self.device.partition(":")[0]

    @property
    def on_cpu(self) -> bool:
        """Whether the CPU trains."""
        return self.kind == "cpu"

    @property
    def recorded_threads(self) -> int | None:
        """The threads as files and keys hold them: None on a GPU, where they change no bit."""
        return self.threads if self.on_cpu else None

    def describe(self, pieces: int, *, groups: bool = False) -> str:
        """One line in plain words about the training of so many networks, or groups of them."""
        at_once = min(self.jobs, pieces)
        one = "group of networks" if groups else "network"
        several = "groups of networks" if groups else "networks"
        number = f"{at_once} {several} at once" if at_once > 1 else f"one {one} at a time"
        threads = f", {self.threads} thread{'s' * (self.threads != 1)} each" if self.on_cpu else ""
        if self.on_cpu and self.threads > _cores():
            threads += " (slow: there are fewer cores)"
        slow = self.on_cpu and self.precision == "bf16" and not multiplies_bf16()
        warning = " (slow: this CPU has no instructions for it)" if slow else ""
        limit = ", since more would take more threads than there are cores" if self.limited else ""
        return f"{self.device} in {self.precision}{warning}: {number}{threads}{limit}"


@dataclass(frozen=True, kw_only=True)
class Execution:
    """Where networks are to train, as it is asked for. What is "auto" or None is left open.

    Parameters
    ----------
    device : "auto" (a GPU where there is one), "cpu", "cuda", or "cuda:N".
    precision : "auto", "fp32" or "bf16".
    jobs : how many networks train at once, at least 1.
    threads : the CPU threads of each network, from 1 to the number of cores.

    Raises
    ------
    OptionError
        for a device that this machine lacks, and for values out of range.
    """

    device: str = AUTO
    precision: str = AUTO
    jobs: int | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        for name in ("jobs", "threads"):
            number = getattr(self, name)
            if number is not None and number < 1:
                raise OptionError(f"{name}={number} is out of range; at least 1")
        if self.precision not in (AUTO, *PRECISIONS):
            raise registry.unknown_name_error("precision", self.precision, (AUTO, *PRECISIONS))
        cores = _cores()
        if self.threads is not None and self.threads > cores:
            raise OptionError(
                f"threads={self.threads} is more than this machine's cores, {cores}. Leave it "
                "out; other threads than those a result was made with change it a little"
            )
        if self.device not in (AUTO, "cpu"):
            _resolve_device(self.device)

    @classmethod
    def taken_from(cls, options: Mapping[str, Any]) -> tuple["Execution", dict[str, Any]]:
        """The execution among the keyword options of a verb, and the options that remain.

        Parameters
        ----------
        options : the keywords by name. They may hold an `execution`, or its fields as keywords of
            their own: `device`, `precision`, `jobs`, `threads`. Without these all is left open.

        Raises
        ------
        OptionError
            where they hold both, and for a field that is out of range.
        """
        rest = dict(options)
        given = {name: rest.pop(name) for name in NAMES if name in rest}
        given = {name: value for name, value in given.items() if value is not None}
        execution = rest.pop("execution", None)
        if execution is not None and given:
            raise OptionError(
                f"{', '.join(given)} and an execution are both given; put all into the execution"
            )
        return execution or cls(**given), rest

    def resolve(
        self,
        *,
        networks: int = 1,
        earlier: "Setup | None" = None,
        cpu_precision: str = "fp32",
        begun_threads: int | None = None,
    ) -> ResolvedExecution:
        """Settle what is left open, for the training of so many networks on this machine.

        A CPU trains as many networks at once as it has cores, and each gets an equal share of them.
        For the small networks that CPUs train, this is faster than sharing the cores within one
        network. `jobs` never changes the threads: as many networks train at once as fit.

        Parameters
        ----------
        networks : how many are to be trained.
        earlier : how the networks of an earlier file were made. Its precision and threads stay,
            unless others were asked for by name. It is no wish to measure gradients in bf16.
        cpu_precision : the precision of a CPU where nothing else settles it; that of a GPU is bf16.
        begun_threads : the threads of trainings that were begun; they stay where no file has any.
        """
        device = _resolve_device(self.device)
        precision = self.precision
        if precision == AUTO:
            open_precision = cpu_precision if device == "cpu" else "bf16"
            precision = (earlier.precision if earlier else None) or open_precision
        threads = self.threads or (earlier.threads if earlier else None) or begun_threads
        jobs = self.jobs
        cores = _cores()
        if device == "cpu":
            threads = threads or max(cores // max(networks, 1), 1)
            fitting = max(cores // threads, 1)
            if jobs is None:
                jobs = fitting
            elif threads > 1:
                # networks of one thread take turns on a core; the threads of one network wait for
                # each other: 8 on 2 cores run 15x slower
                jobs = min(jobs, fitting)
        else:
            jobs = jobs or 1
            threads = max(cores // jobs, 1)
        return ResolvedExecution(
            device=device,
            precision=precision,
            threads=threads,
            jobs=jobs,
            limited=self.jobs not in (None, jobs),
            gradient_precision="fp32" if self.precision == AUTO else precision,
        )

    def resolve_folds(
        self, networks: int, *, precision: str | None = None, threads: int | None = None
    ) -> ResolvedExecution:
        """Settle what is left open, for so many networks of holdout validation.

        Left open, the precision is bf16 also on a CPU that multiplies in it: there it is 1.4 times
        as fast as fp32, and its C-scores agree with those in fp32 as well as those of other seeds
        do (benchmarks/RESULTS.md).

        Parameters
        ----------
        networks : how many are to be trained. The threads do not depend on it.
        precision, threads : those of the folds that a table has; None where it has none. They stay
            unless others were asked for by name.
        """
        on_cpu = _resolve_device(self.device) == "cpu"
        usual = "bf16" if not on_cpu or multiplies_bf16() else "fp32"
        settled = Execution(
            device=self.device,
            precision=(precision or usual) if self.precision == AUTO else self.precision,
            jobs=self.jobs,
        )
        return settled.resolve(
            networks=networks, begun_threads=self.threads or threads or FOLD_THREADS
        )


def device_kind() -> str:
    """The kind of device that "auto" means on this machine: "cuda" where there is one, or "cpu"."""
    return _resolve_device(AUTO).partition(":")[0]


def _cores() -> int:
    """The CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _resolve_device(device: str) -> str:
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == AUTO:
        device = "cuda" if count else "cpu"
    kind, _, index = device.partition(":")
    if kind not in ("cpu", "cuda") or (device != kind and (kind == "cpu" or not index.isdigit())):
        raise OptionError(
            f"unknown device {device!r}; expected auto, cpu, cuda or cuda:0, cuda:1, ..."
        )
    if kind == "cuda" and int(index or 0) >= count:
        raise OptionError(
            f"device {device!r} is not there: this machine has {count} CUDA devices. Try "
            "device='cpu'"
        )
    return "cpu" if kind == "cpu" else f"cuda:{int(index or 0)}"
