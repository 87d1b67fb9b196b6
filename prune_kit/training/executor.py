"""Where runs are trained: here, one after the other, or in several processes at once."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from prune_kit.progress import Listener, Progress, nobody
from prune_kit.training.processes import EpochListener, work_in_processes
from prune_kit.training.recorder import complete
from prune_kit.training.runs import RecordedRun, Request, RunInputs, missing


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


def execute(
    runs: list[RunInputs],
    requests: list[Request],
    runs_folder: Path,
    listener: Listener = nobody,
    labels: list[str] | None = None,
) -> Executed:
    """Complete every run with its request; finished ones are only looked up. `labels` say in words which is which.

    Raises what `recorder.complete` raises. When a run fails or the user interrupts, the others keep what they have.
    """
    runs_folder = runs_folder.absolute()  # a worker that is used again is still where this process was at its start
    named = labels or [f"seed {run.seed}" for run in runs]
    tasks = [
        Task(f"{number} of {len(runs)} ({name})", partial(complete, run, request, runs_folder))
        for number, (run, request, name) in enumerate(zip(runs, requests, named, strict=True), start=1)
        if missing(run, request, runs_folder)
    ]
    run_tasks(tasks, runs[0].execution.jobs if runs else 1, listener)
    return Executed(tuple(RecordedRun(run, runs_folder / run.key) for run in runs), len(tasks))


def run_tasks(tasks: list[Task], jobs: int, listener: Listener) -> None:
    """Run all tasks, `jobs` at a time, each in a process of its own where that is more than one.

    Raises what a task raises. The user's interrupt is handed on to every task at work, and waited for.
    """

    def tell(number: int, epoch: int, epochs: int, note: str) -> None:
        task = tasks[number]
        noun = "network" if task.networks == 1 else "networks"
        listener(Progress(f"{noun} {task.name}", epoch, epochs, note, len(tasks), task.networks))

    if min(jobs, len(tasks)) > 1:
        work_in_processes([task.work for task in tasks], jobs, tell)
        return
    for number, task in enumerate(tasks):
        task.work(partial(tell, number))
