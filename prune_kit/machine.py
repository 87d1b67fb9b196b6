"""What the machine has, and what is done where it kills a process.

A process is killed mostly since memory has run out. So its work is tried once more with fewer
processes at a time, and only a second kill is an error.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TypeVar

from prune_kit.errors import RunError

T = TypeVar("T")


def in_processes(
    calls: Sequence[Callable[[], T]], jobs: int, *, lower: str, tell: Callable[[str], None]
) -> Iterator[T]:
    """Call functions in several processes, and give their results in order.

    Parameters
    ----------
    calls
        `functools.partial`s of functions of modules.
    jobs
        How many processes there are.
    lower
        What the user can lower where a process is killed twice, such as "`jobs`".
    tell
        Is told when there are fewer processes.

    Yields
    ------
    T
        The result of each call. A call that had none when a process was killed is made again.

    Raises
    ------
    RunError
        A process was killed, and again where there were fewer.
    """
    from joblib import Parallel, delayed

    done, now = 0, jobs
    while True:
        options = pool_options(now) if now < jobs else {"n_jobs": jobs}
        parallel = Parallel(**options, backend="loky", batch_size=1, return_as="generator")
        try:
            for result in parallel(delayed(call)() for call in calls[done:]):
                done += 1
                yield result
            return
        except BrokenProcessPool as error:
            now = fewer_after(error, jobs, now, lower, tell)


def pool_options(jobs: int) -> dict[str, int | str]:
    """The options of `joblib.Parallel` for so many processes at work, all of them beside this one.

    Joblib would do the work of a single process here, where a kill ends the command.
    """
    return {"n_jobs": max(jobs, 2), "pre_dispatch": 1 if jobs == 1 else "2 * n_jobs"}


def fewer_after(
    error: BrokenProcessPool, jobs: int, now: int, lower: str, tell: Callable[[str], None]
) -> int:
    """How many processes there are after one has ended that should not have.

    Parameters
    ----------
    error
        What was raised. It is raised again where no process has ended.
    jobs
        How many processes there were at first.
    now
        How many there were when one ended.
    lower
        What the user can lower.
    tell
        Is told that there are fewer.

    Returns
    -------
    int
        Half of them, at least one.

    Raises
    ------
    RunError
        There were fewer than at first, and again one has ended.
    """
    if type(error).__name__ != "TerminatedWorkerError":  # what cannot be sent is our bug
        raise error
    if now < jobs:
        memory = memory_bytes()
        has = f" The machine has {memory / 2**30:.1f} GiB of memory." if memory else ""
        raise RunError(
            f"{_what_happened(error)}: with {jobs} at a time, and again with {now}.{has} What was "
            f"finished is kept. To go on, lower {lower}"
        ) from error
    fewer = max(now // 2, 1)
    tell(f"{_what_happened(error)}; once more, {fewer} at a time")
    return fewer


def _what_happened(error: BrokenProcessPool) -> str:
    """Which end a process came to, by the exit codes in the words of the error."""
    codes = re.search(r"exit codes of the workers are \{([^}]*)\}", str(error))
    signals = codes[1] if codes else ""
    if signals and "SIGKILL" not in signals:
        return f"a process ended where it should not have ({signals})"
    return "a process was killed from outside, most likely by the system for want of memory"


def memory_bytes() -> int:
    """The machine's memory, or what its container leaves to this process; 0 where neither says."""
    is_known = hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names
    machine = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")] if is_known else []
    return min(
        [*machine, *container_limits(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))], default=0
    )


def container_limits(groups: Path, root: Path) -> list[int]:
    """Give the limits of the memory groups of a process, by both versions of Linux' control groups.

    Parameters
    ----------
    groups : the file that lists the groups of the process.
    root : where groups are mounted; in a container its own group is mounted there.

    Returns
    -------
    The limits in bytes; none where no group has a limit.
    """
    if not groups.is_file():
        return []
    limits = []
    for line in groups.read_text().splitlines():
        _, controllers, place = line.split(":", 2)
        kinds = {"": (root, "memory.max"), "memory": (root / "memory", "memory.limit_in_bytes")}
        for kind in {"", "memory"} & set(controllers.split(",")):
            top, name = kinds[kind]
            for folder in (top, top / place.lstrip("/")):
                text = (folder / name).read_text().strip() if (folder / name).is_file() else ""
                limits += [int(text)] if text.isdigit() else []  # "max" is none
    return limits
