"""Where runs are trained: here, one after the other, or in several processes at once."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

from prune_kit.progress import Listener, Progress, nobody
from prune_kit.training.recorder import EpochListener, complete
from prune_kit.training.runs import RecordedRun, Request, RunInputs, missing

POLL_SECONDS = 0.2
Tell = Callable[[int, int, int, str], None]  # number of the run, finished epoch, epochs asked for, how it goes


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

    Raises what a task raises.
    """

    def tell(number: int, epoch: int, epochs: int, note: str) -> None:
        task = tasks[number]
        noun = "network" if task.networks == 1 else "networks"
        listener(Progress(f"{noun} {task.name}", epoch, epochs, note, len(tasks), task.networks))

    if min(jobs, len(tasks)) > 1:
        _in_processes(tasks, jobs, tell)
        return
    for number, task in enumerate(tasks):
        task.work(partial(tell, number))


def _in_processes(tasks: list[Task], jobs: int, tell: Tell) -> None:
    """joblib's processes need no `if __name__ == "__main__"` in the user's script."""
    from joblib import Parallel, delayed

    with TemporaryDirectory(prefix="prune-kit-") as folder, _following(Path(folder), tell):
        work = (
            delayed(_elsewhere)(task.work, Path(folder) / f"{number}", os.getpid()) for number, task in enumerate(tasks)
        )
        Parallel(n_jobs=min(jobs, len(tasks)), backend="loky")(work)


def _elsewhere(work: Callable[[EpochListener], None], diary: Path, parent: int) -> None:
    """Do a task in a worker process, which tells its progress by appending lines to `diary`."""
    _leave_with(parent)
    with diary.open("a", buffering=1) as lines:
        work(lambda epoch, epochs, note: print(epoch, epochs, note, file=lines))


@cache
def _leave_with(parent: int) -> None:
    """End this process as soon as `parent` has died, however it died: nobody waits for what it trains."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(POLL_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _following(folder: Path, tell: Tell) -> Iterator[None]:
    """Pass on, from a thread, what the workers write into their diaries."""
    read: dict[Path, int] = {}
    stop = threading.Event()

    def pass_on() -> None:
        for diary in sorted(folder.iterdir()):
            text = diary.read_text("utf-8")
            whole = text.rfind("\n") + 1
            for line in text[read.get(diary, 0) : whole].splitlines():
                epoch, epochs, note = line.split(" ", 2)
                tell(int(diary.name), int(epoch), int(epochs), note)
            read[diary] = whole

    def follow() -> None:
        while not stop.wait(POLL_SECONDS):
            pass_on()

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        pass_on()
