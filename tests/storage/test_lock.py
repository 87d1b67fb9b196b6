"""One command at a time in a folder."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from prune_kit.errors import FileError, OptionError
from prune_kit.storage import lock
from prune_kit_cli.main import exit_code

HOLDER = """
import sys, time
from pathlib import Path
from prune_kit.storage.lock import holding
with holding(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def another(folder: Path) -> subprocess.Popen[str]:
    """A process that holds the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_a_folder_that_another_process_holds_is_refused_with_its_name_until_that_is_killed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    process = another(tmp_path)
    try:
        with pytest.raises(
            OptionError,
            match=rf"is in use by process {process.pid} on .* since 20.*choose another `workdir`",
        ):
            with lock.holding(tmp_path):
                pass
        assert exit_code(["score", "--epoch", "1", "--runs", "1", "--workdir", str(tmp_path)]) == 2
        out, err = capsys.readouterr()
        assert (
            out == ""
            and f"is in use by process {process.pid}" in err
            and len(err.strip().splitlines()) == 1
        )
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
    assert (tmp_path / lock.NAME).exists()  # what a killed holder leaves
    with lock.holding(tmp_path):
        assert f'"pid": {os.getpid()}' in (tmp_path / lock.NAME).read_text()
    assert list(tmp_path.iterdir()) == []


def test_a_verb_may_call_another_and_the_lock_goes_with_the_last(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    with lock.holding(folder):
        with lock.holding(folder):
            pass
        assert (folder / lock.NAME).exists()
        lock.hold(folder)
        lock.release()
    assert not (tmp_path / "a").exists()  # nothing was put there


def test_a_folder_that_was_there_or_holds_something_stays(tmp_path: Path) -> None:
    with lock.holding(tmp_path / "new"):
        (tmp_path / "new" / "work").touch()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["work"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(FileError, match=r"cannot write into .*file"),
        lock.holding(tmp_path / "file"),
    ):
        pass


def test_where_there_are_no_such_locks_the_holder_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    def unknown(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", unknown)
    with lock.holding(tmp_path):
        (tmp_path / lock.NAME).write_text(
            f'{{"pid": {os.getppid()}, "host": "{os.uname().nodename}"}}'
        )
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    (tmp_path / lock.NAME).write_text(f'{{"pid": {sleeper.pid}, "host": "{os.uname().nodename}"}}')
    with (
        pytest.raises(OptionError, match=f"in use by process {sleeper.pid}"),
        lock.holding(tmp_path),
    ):
        pass
    sleeper.kill()
    sleeper.wait()
    time.sleep(0.01)
    with lock.holding(tmp_path):  # that one is dead
        pass


def test_a_refused_command_leaves_the_name_of_the_holder_in_the_file(tmp_path: Path) -> None:
    process = another(tmp_path)
    try:
        before = (tmp_path / lock.NAME).read_text()
        for _ in range(2):
            with pytest.raises(OptionError, match="is in use by"), lock.holding(tmp_path):
                pass
        assert (tmp_path / lock.NAME).read_text() == before != ""
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def test_of_many_processes_that_come_and_go_one_at_a_time_holds_the_folder(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from prune_kit.errors import OptionError
from prune_kit.storage.lock import holding
held = 0
while held < 20:
    try:
        with holding(Path(sys.argv[1])):
            mark = Path(sys.argv[1]) / "mark"
            mark.touch(exist_ok=False)
            held += 1
            mark.unlink()
    except OptionError:
        pass
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    processes = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0, 0]
    assert list(tmp_path.iterdir()) == []
