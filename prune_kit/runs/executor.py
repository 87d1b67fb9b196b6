"""Which runs are to be trained, and their training: here, or in several processes at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from prune_kit.progress import Listener, Progress, note, silent
from prune_kit.protocol.execution import Execution, ResolvedExecution
from prune_kit.protocol.setup import Setup
from prune_kit.runs.cache import RecordedRun, Request, RunInputs, begun_threads, missing
from prune_kit.runs.processes import EpochListener, work_in_processes
from prune_kit.runs.recorder import complete
from prune_kit.storage.paths import absolute


@dataclass(frozen=True, eq=False)
class PlannedRuns:
    """Runs that a plan needs, and what each must have recorded; some may be in the cache already.

    Parameters
    ----------
    inputs : what each run is a function of.
    requests : what each must have recorded.
    labels : words that say which run is which.
    runs_folder : the folder of the run cache.
    """

    inputs: tuple[RunInputs, ...]
    requests: tuple[Request, ...]
    labels: tuple[str, ...]
    runs_folder: Path

    @classmethod
    def of(
        cls,
        inputs: Sequence[RunInputs],
        requests: Sequence[Request],
        runs_folder: Path,
        labels: Sequence[str] | None = None,
    ) -> "PlannedRuns":
        """Runs with their requests.

        Parameters are those of the class. Without `labels` the runs are called by their seeds.
        """
        named = labels or [f"seed {run.seed}" for run in inputs]
        return cls(tuple(inputs), tuple(requests), tuple(named), runs_folder)

    @cached_property
    def lacking(self) -> tuple[int, ...]:
        """The places of the runs that lack something, and so must be trained."""
        runs = zip(self.inputs, self.requests, strict=True)
        return tuple(
            place
            for place, (inputs, request) in enumerate(runs)
            if missing(inputs, request, self.runs_folder)
        )

    @property
    def epochs(self) -> list[int]:
        """The epoch at which the training of each lacking run ends.

        A threshold may end it later.
        """
        return [self.requests[place].last_epoch for place in self.lacking]


@dataclass(frozen=True)
class RunResults:
    """The recorded runs, in the order they were asked for, and how many had to be trained."""

    runs: tuple[RecordedRun, ...]
    trained: int


@dataclass(frozen=True)
class Task:
    """A piece of training, of one network or several.

    `work` is a module's function, or a `functools.partial` of one, that takes a listener.
    """

    name: str
    work: Callable[[EpochListener], None]
    networks: int = 1


def settle_execution(
    runs_of: Callable[[ResolvedExecution], list[RunInputs]],
    execution: Execution,
    earlier: Setup | None,
    runs_folder: Path,
    *,
    networks: int,
    cpu_precision: str,
) -> tuple[ResolvedExecution, list[RunInputs]]:
    """Where runs train, and those runs.

    Threads that nothing settles are those with which such runs were begun. So an interrupted
    command goes on when it is repeated for more runs or fewer.

    Parameters
    ----------
    runs_of : gives the runs that train where an execution says.
    execution : where they are to train, as it was asked for.
    earlier : how the networks of an earlier file were made.
    runs_folder : the folder of the run cache.
    networks : how many networks share the cores.
    cpu_precision : the precision of a CPU where nothing else settles it.

    Raises
    ------
    FileError
        where the inputs of a run in the cache cannot be read.
    """
    resolve = partial(
        execution.resolve, networks=networks, earlier=earlier, cpu_precision=cpu_precision
    )
    resolved = resolve()
    runs = runs_of(resolved)
    if resolved.on_cpu and execution.threads is None and not (earlier and earlier.threads):
        resolved = resolve(begun_threads=begun_threads(runs, runs_folder))
        runs = runs_of(resolved)
    return resolved, runs


def complete_runs(planned: PlannedRuns, listener: Listener = silent) -> RunResults:
    """Train what the planned runs lack, and give all of them.

    Raises what `recorder.complete` raises. When a run fails or the user interrupts, the others keep
    what they have.
    """
    # a worker that is used again is still where this process was at its start
    runs_folder = absolute(planned.runs_folder)
    inputs = planned.inputs
    tasks = [
        Task(
            f"{place + 1} of {len(inputs)} ({planned.labels[place]})",
            partial(complete, inputs[place], planned.requests[place], runs_folder),
        )
        for place in planned.lacking
    ]
    if tasks:
        run_tasks(tasks, inputs[0].execution, listener)
    runs = tuple(RecordedRun(run, runs_folder / run.key) for run in inputs)
    return RunResults(runs, len(tasks))


def run_tasks(tasks: Sequence[Task], execution: ResolvedExecution, listener: Listener) -> None:
    """Run all tasks, `execution.jobs` at a time, each in a process of its own if several at once.

    Where the system kills a process, what was not finished is done once more with half as many.
    Raises what a task raises, and RunError where a process is killed again. The user's interrupt is
    handed on to every task at work, and waited for.

    Parameters
    ----------
    tasks : the pieces of training.
    execution : where they train, and how many at once.
    listener : hears where they train, and of every epoch.
    """
    jobs = min(execution.jobs, len(tasks))
    groups = any(task.networks > 1 for task in tasks)
    listener(note("runs on", execution.describe(len(tasks), groups=groups)))

    def tell(number: int, epoch: int, epochs: int, note: str) -> None:
        task = tasks[number]
        noun = "network" if task.networks == 1 else "networks"
        listener(Progress(f"{noun} {task.name}", epoch, epochs, note, len(tasks), task.networks))

    if jobs > 1:
        work_in_processes(
            [task.work for task in tasks],
            jobs,
            tell,
            lambda text: listener(note("memory", text)),
        )
        return
    for number, task in enumerate(tasks):
        task.work(partial(tell, number))
