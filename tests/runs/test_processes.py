"""Several processes at work: what an interrupt does to them, and what becomes of those that do not
listen."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from prune_kit.runs.processes import EpochListener, interrupt_thread, work_in_processes

PATIENCE = 60.0
ROOT = Path(__file__).parents[2]
COMMAND = """
import signal
import sys
from functools import partial
from pathlib import Path
from prune_kit.runs.processes import work_in_processes
from tests.runs.test_processes import KillsWhoSends, is_never_called
from tests.runs.test_processes import saves_when_interrupted, sleeps_on
# what runs in the background of a shell ignores it
signal.signal(signal.SIGINT, signal.default_int_handler)
work = [partial({work}, Path(sys.argv[1]), number) for number in range(3)]
try:
    work_in_processes(work, 2, lambda *told: None)
except KeyboardInterrupt:
    sys.exit(130)
"""


def saves_when_interrupted(folder: Path, number: int, listener: EpochListener) -> None:
    (folder / f"{number}.began").write_text(str(os.getpid()))
    try:
        time.sleep(PATIENCE)
    except KeyboardInterrupt:
        time.sleep(1)  # longer than any poll: saving takes its time
        (folder / f"{number}.saved").touch()
        raise


def sleeps_on(folder: Path, number: int, listener: EpochListener) -> None:
    (folder / f"{number}.began").write_text(str(os.getpid()))
    while True:
        try:
            time.sleep(PATIENCE)
        except KeyboardInterrupt:
            (folder / f"{number}.deaf").touch()


class KillsWhoSends:
    """Ends the process in which it is pickled, and with it a command that sends it to a worker."""

    def __reduce__(self) -> tuple[object, ...]:
        os.kill(os.getpid(), signal.SIGKILL)
        return (KillsWhoSends, ())


def is_never_called(
    killer: KillsWhoSends, folder: Path, number: int, listener: EpochListener
) -> None:
    (folder / "called").touch()


def says_its_number(number: int, listener: EpochListener) -> None:
    for epoch in (1, 2):
        listener(epoch, 2, f"of {number}")


def refuses(number: int, listener: EpochListener) -> None:
    raise ValueError(f"no {number}")


def begun(work: str, folder: Path) -> "subprocess.Popen[str]":
    """Three pieces of work for two processes, in a process group of their own, as a terminal would
    start them."""
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND.format(work=work), str(folder)],
        cwd=ROOT, start_new_session=True, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def started(work: str, folder: Path) -> "subprocess.Popen[str]":
    """The same, once two of the pieces are at work."""
    command = begun(work, folder)
    wait_for(folder, "*.began")
    return command


def wait_for(folder: Path, pattern: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while len(list(folder.glob(pattern))) < 2:
        assert time.monotonic() < deadline, f"waited {PATIENCE} s for {pattern}"
        time.sleep(0.05)


def test_all_is_done_and_told() -> None:
    told: list[tuple[int, int, int, str]] = []
    work_in_processes(
        [partial(says_its_number, n) for n in range(3)], 2, lambda *line: told.append(line)
    )
    assert sorted(told) == [(n, epoch, 2, f"of {n}") for n in range(3) for epoch in (1, 2)]


def test_where_threads_get_no_signals_the_main_one_is_interrupted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As on Windows."""
    monkeypatch.delattr(signal, "pthread_kill")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            interrupt_thread(0)
            time.sleep(PATIENCE)
    finally:
        signal.signal(signal.SIGINT, before)


def test_what_a_worker_raises_is_raised_here() -> None:
    with pytest.raises(ValueError, match="no 0"):
        work_in_processes([partial(refuses, 0), partial(says_its_number, 1)], 2, lambda *line: None)


@pytest.mark.parametrize("everyone", [True, False], ids=["to the whole group", "to the parent"])
def test_an_interrupt_lets_every_worker_save_what_it_has(tmp_path: Path, everyone: bool) -> None:
    command = started("saves_when_interrupted", tmp_path)
    if everyone:  # as a terminal does
        os.killpg(command.pid, signal.SIGINT)
    else:
        command.send_signal(signal.SIGINT)
    _, errors = command.communicate(timeout=PATIENCE)
    assert command.returncode == 130 and errors == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "0.began",
        "0.saved",
        "1.began",
        "1.saved",
    ]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_an_interrupt_while_the_workers_start_prints_nothing_of_theirs(tmp_path: Path) -> None:
    command = begun("saves_when_interrupted", tmp_path)
    deadline = time.monotonic() + PATIENCE
    while sum(b"LokyProcess" in words for words in command_lines(command.pid)) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(command.pid, signal.SIGINT)
    _, errors = command.communicate(timeout=PATIENCE)
    assert command.returncode == 130 and errors == ""


def command_lines(group: int) -> list[bytes]:
    """Those of all processes of a process group."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(status.read_text().rpartition(")")[2].split()[2]) == group:
                found.append((status.parent / "cmdline").read_bytes())
        except OSError:  # that process has just ended
            continue
    return found


def test_workers_of_a_command_that_is_killed_while_it_sends_them_work_end_too(
    tmp_path: Path,
) -> None:
    command = begun("is_never_called, KillsWhoSends()", tmp_path)
    command.communicate(timeout=PATIENCE)  # which waits for all that could still write an error
    assert command.returncode == -signal.SIGKILL and not list(tmp_path.iterdir())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_second_interrupt_ends_workers_that_do_not_listen(tmp_path: Path) -> None:
    command = started("sleeps_on", tmp_path)
    command.send_signal(signal.SIGINT)
    wait_for(tmp_path, "*.deaf")
    command.send_signal(signal.SIGINT)
    command.communicate(timeout=PATIENCE / 2)
    assert command.returncode == 130
    workers = [int(path.read_text()) for path in tmp_path.glob("*.began")]
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
