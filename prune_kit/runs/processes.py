"""Work in several processes, which tell how it goes, stop when told, and end with their parent."""

import _thread
import atexit
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

from prune_kit.machine import fewer_after, pool_options

POLL_SECONDS = 0.2
STOP_SECONDS = 30.0  # so long an interrupted worker may take to save what it has
STOP, LEAVE = "stop", "leave"  # files that the parent makes: save what there is, and end at once
DONE = "done"  # the ending of the file that a finished piece of work leaves
# what a terminal or a job queue sends to all processes of a command alike; Windows has no SIGHUP
ENDINGS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
LOWER = "`jobs`, `config.batch_size`, or take a smaller `model`"

EpochListener = Callable[[int, int, str], None]  # finished epoch, epochs asked for, how it goes
Tell = Callable[[int, int, int, str], None]  # number of the work, then as above


def work_in_processes(
    work: Sequence[Callable[[EpochListener], None]],
    jobs: int,
    tell: Tell,
    warn: Callable[[str], None] = lambda _: None,
) -> None:
    """Do every piece of work, several at a time.

    Interrupted, the pieces at work get a KeyboardInterrupt of their own and `STOP_SECONDS` to end.
    A second interrupt ends them at once. Where the system kills a process, the pieces that are not
    finished are begun once more, half as many at a time. Raises what a piece raises, once the
    others are ended, and RunError when a process is killed again.

    Parameters
    ----------
    work : functions of modules, or `functools.partial`s of such, that take a listener.
    jobs : how many are done at a time.
    tell : is called with the number of a piece and what the piece tells its listener.
    warn : is told that there are fewer processes.
    """
    # its processes need no `if __name__ == "__main__"` in the user's script
    from joblib import Parallel, delayed

    def once(folder: Path, at_a_time: int) -> None:
        pieces = [
            delayed(_elsewhere)(piece, folder, number)
            for number, piece in enumerate(work)
            if not (folder / f"{number}.{DONE}").exists()
        ]
        parallel = Parallel(
            **pool_options(min(at_a_time, len(pieces))),
            backend="loky",
            batch_size=1,
            initializer=_leave_with,
            initargs=(os.getpid(),),
        )
        _with_shielded_workers(parallel, pieces)

    with TemporaryDirectory(prefix="prune-kit-") as name, futures.ThreadPoolExecutor(1) as beside:
        folder, working = Path(name), list[futures.Future[object]]()
        with _following(folder, tell):
            now = jobs
            while True:
                try:
                    # in a thread beside, for an interrupt inside of joblib would kill its processes
                    working.append(beside.submit(once, folder, now))
                    working[-1].result()
                    return
                except BrokenProcessPool as error:
                    now = fewer_after(error, jobs, now, LOWER, warn)
                except KeyboardInterrupt:
                    try:
                        (folder / STOP).touch()
                        futures.wait(working, STOP_SECONDS)
                    finally:
                        (folder / LEAVE).touch()
                    raise


def _with_shielded_workers(parallel: Callable[[Any], object], pieces: Any) -> None:
    """Start processes that no signal of ENDINGS reaches before they know what to do with it.

    A process inherits what its parent blocks.
    """
    from multiprocessing import resource_tracker

    from joblib.externals.loky.backend import resource_tracker as tracker_of_loky

    for tracker in (resource_tracker, tracker_of_loky):  # whose start ends such blocks, so before
        tracker.ensure_running()
    if hasattr(signal, "pthread_sigmask"):  # Windows has none
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDINGS)
    parallel(pieces)


def _elsewhere(work: Callable[[EpochListener], None], folder: Path, number: int) -> None:
    """Do a piece of work in a worker process, which appends its progress to a diary."""
    if (folder / STOP).exists():
        return
    diary = folder / f"{number}.{os.getpid()}.diary"  # one that was killed may have half a line
    with diary.open("a", buffering=1, encoding="utf-8") as lines, _stopping(folder) as armed:
        try:
            armed.set()
            work(lambda epoch, epochs, note: print(epoch, epochs, note, file=lines))
            armed.clear()
            (folder / f"{number}.{DONE}").touch()
        except KeyboardInterrupt:
            pass  # the parent, which asked for it, raises its own


def _leave_with(parent: int) -> None:
    """End this process as soon as `parent` has died, for nobody waits for what it trains.

    This is called before the first work arrives. Else a worker would wait for ever for a parent
    that is killed while it sends some.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(POLL_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    # a worker has nothing left to save, and taking torch apart takes seconds
    atexit.register(os._exit, 0)
    for number in ENDINGS:  # the parent gets them too, and says what is to be done
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDINGS)


@contextmanager
def _stopping(folder: Path) -> Iterator[threading.Event]:
    """Turn the parent's word to stop into a KeyboardInterrupt here, while the event given is set.

    The interrupt clears the event.
    """
    armed = threading.Event()
    over = threading.Event()
    here = threading.get_ident()

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        if armed.is_set() and (folder / STOP).exists():
            armed.clear()
            raise KeyboardInterrupt

    def watch() -> None:
        while not over.wait(POLL_SECONDS):
            if (folder / LEAVE).exists():
                os._exit(1)
            if (folder / STOP).exists():
                interrupt_thread(here)

    signal.signal(signal.SIGINT, interrupt)
    threading.Thread(target=watch, daemon=True).start()
    try:
        yield armed
    finally:
        over.set()
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def interrupt_thread(number: int) -> None:
    """Send SIGINT to a thread of this process; on Windows, which cannot, to the main thread."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(number, signal.SIGINT)
    else:
        _thread.interrupt_main(signal.SIGINT)


@contextmanager
def _following(folder: Path, tell: Tell) -> Iterator[None]:
    """Pass on, from a thread, what the workers write into their diaries."""
    read: dict[Path, int] = {}
    stop = threading.Event()

    def pass_on() -> None:
        for diary in sorted(folder.glob("*.diary")):
            text = diary.read_text("utf-8")
            whole = text.rfind("\n") + 1
            for line in text[read.get(diary, 0) : whole].splitlines():
                epoch, epochs, note = line.split(" ", 2)
                tell(int(diary.name.partition(".")[0]), int(epoch), int(epochs), note)
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
