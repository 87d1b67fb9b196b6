"""Where runs are trained: here, one after the other, or in several processes at once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from prune_kit.progress import Listener, Progress, note, silent
from prune_kit.protocol.execution import Execution, check_threads, resolve_execution
from prune_kit.runs.cache import RecordedRun, Request, RunInputs, begun_threads, missing
from prune_kit.runs.processes import EpochListener, work_in_processes
from prune_kit.runs.recorder import complete


@dataclass(frozen=True)
class Executed:
    """The recorded runs, in the order they were asked for, and how many had to be trained."""

    runs: tuple[RecordedRun, ...]
    trained: int


@dataclass(frozen=True)
class Task:
    """A piece of training: `work` is a module's function, or a `functools.partial` of one, that takes a listener."""

    name: str
    work: Callable[[EpochListener], None]
    networks: int = 1


def execution_for(
    runs_of: Callable[[Execution], list[RunInputs]],
    settled: Mapping[str, Any],
    runs_folder: Path,
    *,
    device: str,
    precision: str,
    jobs: int | None,
    threads: int | None,
    networks: int,
    cpu_precision: str,
) -> tuple[Execution, list[RunInputs]]:
    """Where `networks` runs train, and those runs: as the user asks, else as an earlier file `settled` it.

    Threads that no file settled are those with which such runs were begun already, so that an
    interrupted command goes on when it is repeated for more or fewer runs. What is left open is
    `resolve_execution`'s. Raises OptionError, FileError.
    """
    resolve = partial(
        resolve_execution, device, precision, jobs=jobs, networks=networks,
        settled_precision=settled.get("precision", "auto"), cpu_precision=cpu_precision,
    )  # fmt: skip
    check_threads(threads)
    threads = settled.get("threads") if threads is None else threads
    execution = resolve(threads=threads)
    runs = runs_of(execution)
    if threads is None and execution.on_cpu:
        execution = resolve(threads=begun_threads(runs, runs_folder))
    return execution, runs_of(execution)


def execute(
    runs: list[RunInputs],
    requests: list[Request],
    runs_folder: Path,
    listener: Listener = silent,
    labels: list[str] | None = None,
) -> Executed:
    """Complete every run with its request; finished ones are only looked up. `labels` say in words which is which.

    Raises what `recorder.complete` raises. When a run fails or the user interrupts, the others keep
    what they have.
    """
    runs_folder = (
        runs_folder.absolute()
    )  # a worker that is used again is still where this process was at its start
    named = labels or [f"seed {run.seed}" for run in runs]
    tasks = [
        Task(f"{number} of {len(runs)} ({name})", partial(complete, run, request, runs_folder))
        for number, (run, request, name) in enumerate(
            zip(runs, requests, named, strict=True), start=1
        )
        if missing(run, request, runs_folder)
    ]
    if tasks:
        run_tasks(tasks, runs[0].execution, listener)
    return Executed(tuple(RecordedRun(run, runs_folder / run.key) for run in runs), len(tasks))


def run_tasks(tasks: list[Task], execution: Execution, listener: Listener) -> None:
    """Run all tasks, `execution.jobs` at a time, each in a process of its own where that is more than one.

    Raises what a task raises. The user's interrupt is handed on to every task at work, and waited
    for.
    """
    jobs, groups = min(execution.jobs, len(tasks)), any(task.networks > 1 for task in tasks)
    listener(note("runs on", execution.describe(len(tasks), groups=groups)))

    def tell(number: int, epoch: int, epochs: int, note: str) -> None:
        task = tasks[number]
        noun = "network" if task.networks == 1 else "networks"
        listener(Progress(f"{noun} {task.name}", epoch, epochs, note, len(tasks), task.networks))

    if jobs > 1:
        work_in_processes([task.work for task in tasks], jobs, tell)
        return
    for number, task in enumerate(tasks):
        task.work(partial(tell, number))
