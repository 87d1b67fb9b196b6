"""A worker that the system kills: once it is tried again with fewer, twice it is one line.

Nothing here imports torch before a test runs, for every worker imports this file.
"""

import os
import signal
from functools import partial
from pathlib import Path

import pytest

from prune_kit import machine
from prune_kit.errors import RunError
from prune_kit.machine import in_processes
from prune_kit.progress import Progress
from prune_kit.runs.processes import EpochListener, work_in_processes

CRASHES = """A worker was unexpectedly terminated.
The exit codes of the workers are {SIGSEGV(-11), EXIT(0)}
"""


def begun(folder: Path) -> int:
    """How often some work was begun so far, this time included."""
    (folder / f"{len(list(folder.iterdir()))}-{os.getpid()}").touch()
    return len(list(folder.iterdir()))


def dies(folder: Path, times: int, with_signal: int = signal.SIGKILL) -> None:
    if begun(folder) <= times:
        os.kill(os.getpid(), with_signal)


def trains(folder: Path, number: int, times: int, listener: EpochListener) -> None:
    """Number 1 is killed as often as that; the others write down that they were trained."""
    if number == 1:
        (folder / "killed").mkdir(exist_ok=True)
        dies(folder / "killed", times)
    with (folder / f"{number}.trained").open("a") as file:
        file.write("x")
    listener(1, 1, f"of {number}")


def squares(folder: Path, number: int, times: int) -> int:
    if number == 2:
        dies(folder, times)
    return number**2


@pytest.mark.parametrize(("jobs", "fewer"), [(2, 1), (4, 2)])
def test_what_was_killed_is_done_again_with_half_as_many(
    tmp_path: Path, jobs: int, fewer: int
) -> None:
    told: list[tuple[int, int, int, str]] = []
    warned: list[str] = []
    work = [partial(trains, tmp_path, number, 1) for number in range(jobs)]
    work_in_processes(work, jobs, lambda *line: told.append(line), warned.append)
    assert len(list(tmp_path.glob("*.trained"))) == jobs
    assert {number for number, *_ in told} == set(range(jobs))
    assert len(warned) == 1 and f"once more, {fewer} at a time" in warned[0]
    assert "killed from outside" in warned[0] and "memory" in warned[0]


def test_what_was_finished_is_not_done_again(tmp_path: Path) -> None:
    """One at a time, so that number 0 has ended when number 1 is killed."""
    work = [partial(trains, tmp_path, number, 1) for number in range(2)]
    work_in_processes(work, 1, lambda *line: None)  # `pool_options`: beside this process, alone
    assert (tmp_path / "0.trained").read_text() == "x"


def test_what_is_killed_twice_is_one_line_that_says_what_to_lower(tmp_path: Path) -> None:
    from prune_kit.protocol.execution import ResolvedExecution
    from prune_kit.runs.executor import Task, run_tasks

    tasks = [Task(str(n), partial(trains, tmp_path, n, 9)) for n in range(2)]
    execution = ResolvedExecution(device="cpu", precision="fp32", threads=1, jobs=2)
    notes: list[Progress] = []
    with pytest.raises(RunError) as caught:
        run_tasks(tasks, execution, notes.append)
    message = str(caught.value)
    assert "\n" not in message and "with 2 at a time, and again with 1" in message
    for word in (
        "killed from outside",
        "GiB of memory",
        "`jobs`",
        "`config.batch_size`",
        "`model`",
    ):
        assert word in message
    assert [step.note for step in notes if step.what == "memory"]


def test_results_before_a_kill_are_kept_and_the_others_made_again(tmp_path: Path) -> None:
    warned: list[str] = []
    calls = [partial(squares, tmp_path, number, 1) for number in range(5)]
    found = list(in_processes(calls, 2, lower="`jobs`", tell=warned.append))
    assert found == [0, 1, 4, 9, 16] and len(warned) == 1
    for file in tmp_path.iterdir():
        file.unlink()
    calls = [partial(squares, tmp_path, number, 9) for number in range(5)]
    with pytest.raises(RunError, match="lower `jobs`"):
        list(in_processes(calls, 2, lower="`jobs`", tell=warned.append))


def inspect_and_die(folder: Path, start: int, paths: list[str]) -> int:
    if start:
        dies(folder, 1)
    return len(paths)


def test_decoding_goes_on_after_a_kill(tmp_path: Path) -> None:
    from prune_kit.data import decoding

    notes: list[Progress] = []
    paths = [str(number) for number in range(decoding.CHUNK * 3)]
    work = partial(inspect_and_die, tmp_path)
    counts = list(decoding._on_all_cores(work, paths, "reading images", notes.append))
    assert sum(counts) == len(paths)


class TerminatedWorkerError(machine.BrokenProcessPool):
    """As loky's, which is known by its name."""


def test_a_crash_is_not_called_a_want_of_memory() -> None:
    warned: list[str] = []
    assert machine.fewer_after(TerminatedWorkerError(CRASHES), 4, 4, "", warned.append) == 2
    assert warned == [
        "a process ended where it should not have (SIGSEGV(-11), EXIT(0)); once more, 2 at a time"
    ]


def test_work_that_cannot_be_sent_is_a_bug_and_stays_one() -> None:
    error = machine.BrokenProcessPool("A task has failed to un-serialize")
    with pytest.raises(machine.BrokenProcessPool) as caught:
        machine.fewer_after(error, 4, 4, "", print)
    assert caught.value is error
