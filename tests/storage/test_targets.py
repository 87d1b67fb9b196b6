"""What stands where a file is written: links are written through, modes kept, the rest refused."""

import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from prune_kit.errors import FileError
from prune_kit.storage import files, lock


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def umask() -> Any:
    before = os.umask(0o027)
    yield 0o027
    os.umask(before)


@pytest.mark.parametrize("links", [1, 2, 5])
@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize("dangling", [True, False])
def test_a_link_stays_and_what_it_leads_to_is_replaced(
    tmp_path: Path, links: int, relative: bool, dangling: bool
) -> None:
    (tmp_path / "far").mkdir()
    real = last = tmp_path / "far" / "real"
    if not dangling:
        real.write_text("old")
    for number in range(links):
        link = tmp_path / f"link{number}"
        link.symlink_to(os.path.relpath(last, tmp_path) if relative else last)
        last = link
    files.write_bytes(last, b"new")
    assert last.is_symlink() and real.read_text() == "new" and not real.is_symlink()
    assert sorted(path.name for path in (tmp_path / "far").iterdir()) == ["real"]


def test_a_link_to_a_folder_on_the_way_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    files.write_bytes(tmp_path / "link" / "new", b"new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real/new").read_text() == "new"


def test_a_link_into_a_folder_that_is_not_there_makes_it(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("deep/down/file")
    files.write_bytes(tmp_path / "link", b"new")
    assert (tmp_path / "deep/down/file").read_text() == "new"


@pytest.mark.parametrize("before", [0o600, 0o640, 0o444, 0o755, 0o666])
@pytest.mark.parametrize("linked", [True, False])
def test_a_file_keeps_its_mode(tmp_path: Path, umask: int, before: int, linked: bool) -> None:
    real = tmp_path / "real"
    real.touch()
    real.chmod(before)
    (tmp_path / "link").symlink_to("real")
    files.write_bytes(tmp_path / "link" if linked else real, b"new")
    assert mode(real) == before and real.read_text() == "new"


def test_a_new_file_has_the_mode_that_the_umask_leaves(tmp_path: Path, umask: int) -> None:
    files.write_bytes(tmp_path / "new", b"new")
    (tmp_path / "link").symlink_to("target")
    files.write_bytes(tmp_path / "link", b"new")
    assert mode(tmp_path / "new") == mode(tmp_path / "target") == 0o640


def test_a_private_file_is_private_while_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "a").touch(mode=0o600)
    with files.replacing(tmp_path / "a") as temporary:
        assert mode(temporary) == 0o600


def test_what_was_there_stays_behind_a_link_when_the_block_fails(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(ValueError, match="bug"), files.replacing(tmp_path / "link") as temporary:
        temporary.write_text("half")
        raise ValueError("bug")
    assert (tmp_path / "real").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "real"]


def odd_targets(folder: Path) -> dict[str, Path]:
    """Everything that is no file, by itself and behind a link."""
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe")
    (folder / "loop").symlink_to("pool")
    (folder / "pool").symlink_to("loop")
    (folder / "self").symlink_to("self")
    found = {name: folder / name for name in ("folder", "pipe", "loop", "self")}
    found |= {name: Path("/dev") / name for name in ("null", "full", "stdout", "stderr", "stdin")}
    found["open"] = Path("/proc/self/fd/1")
    for name, path in list(found.items()):
        link = folder / f"to-{name}"
        link.symlink_to(path)
        found[link.name] = link
    return found


ODD = ("folder", "pipe", "loop", "self", "null", "full", "stdout", "stderr", "stdin", "open")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="has no /dev/full")
@pytest.mark.parametrize("name", [*ODD, *(f"to-{name}" for name in ODD)])
def test_what_is_no_file_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    path = odd_targets(tmp_path)[name]
    before = sorted(tmp_path.iterdir())
    with pytest.raises(FileError, match="cannot write") as caught:
        files.write_bytes(path, b"new")
    message = str(caught.value)
    assert message.startswith(f"cannot write {path}: ") and "\n" not in message
    assert sorted(tmp_path.iterdir()) == before and not any(tmp_path.glob(".*.tmp"))


@pytest.mark.parametrize("length", [1, 200, 250])
def test_a_long_name_is_written(tmp_path: Path, length: int) -> None:
    files.write_bytes(tmp_path / ("é" * (length // 2) or "x"), b"new")
    with pytest.raises(FileError, match="File name too long"):
        files.write_bytes(tmp_path / ("x" * 300), b"new")


# other systems


def test_a_folder_that_cannot_be_opened_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows."""
    real = os.open

    def no_folders(path: Any, flags: int, *mode: int, **more: Any) -> int:
        if Path(path).is_dir():
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, flags, *mode, **more)

    monkeypatch.setattr(os, "open", no_folders)
    files.write_bytes(tmp_path / "new", b"new")
    assert (tmp_path / "new").read_text() == "new"


def test_a_file_is_flushed_through_a_handle_that_can_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows flushes no other."""
    flushed = []

    def flush(handle: int) -> None:
        os.write(handle, b"")  # an error through a handle that only reads, as that of a folder
        flushed.append(stat.S_ISREG(os.fstat(handle).st_mode))

    monkeypatch.setattr(os, "fsync", flush)
    files.write_bytes(tmp_path / "new", b"new")
    assert flushed == [True]


def test_no_process_is_asked_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """There `os.kill(pid, 0)` ends it."""

    def ends(pid: int, number: int) -> None:
        raise AssertionError("killed")

    monkeypatch.setattr(os, "kill", ends)
    monkeypatch.setattr(sys, "platform", "win32")
    assert files.is_alive(1) and files.is_alive(2**40)


def test_a_lock_that_keeps_its_holder_from_writing_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows."""

    def refuses(path: Path, *_: Any) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "write_text", refuses)
    with pytest.raises(FileError, match="Permission denied"), lock.holding(tmp_path):
        pass
    monkeypatch.setattr(sys, "platform", "win32")
    with lock.holding(tmp_path):
        assert (tmp_path / lock.NAME).exists()
