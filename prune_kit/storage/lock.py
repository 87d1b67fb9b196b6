"""One command at a time in a folder: a lock that says who holds it, and that dies with its holder.

The lock is the operating system's (flock), so that nothing is left to clean up after a kill; the
file `.lock` only says whose it is. Where the file system knows no such locks, the holder's host and
process number decide.
"""

import errno
import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from prune_kit.errors import FileError, OptionError
from prune_kit.storage.files import is_alive, remove_leftovers

NAME = ".lock"
_held: dict[Path, int] = {}  # by this process, how often: a verb may call another
_to_the_end = ExitStack()


@contextmanager
def holding(folder: Path) -> Iterator[None]:
    """Hold `folder` while the block runs; it is made where it is not there, and goes again if it stays empty.

    Raises OptionError, which names the holder, while another process holds it; FileError where it
    cannot be written.
    """
    path = folder.expanduser().absolute() / NAME
    if path in _held:
        _held[path] += 1
        try:
            yield
        finally:
            _held[path] -= 1
        return
    made = [parent for parent in path.parents if not parent.exists()]
    handle = _taken(path)
    _held[path] = 1
    try:
        remove_leftovers(path.parent)
        yield
    finally:
        del _held[path]
        with suppress(OSError):  # the folder may be gone, or be somebody's work by now
            path.unlink()
            for parent in made:
                parent.rmdir()
        os.close(handle)


def hold(folder: Path) -> None:
    """Hold `folder` until `release`. Raises as `holding`."""
    _to_the_end.enter_context(holding(folder))


def release() -> None:
    """Let go of all that `hold` has taken."""
    _to_the_end.close()


def _taken(path: Path) -> int:
    """The open lock file, locked, with our name in it."""
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise FileError(
                f"cannot write into {path.parent}: {error.strerror or error}"
            ) from error
        if not _locked(handle, path):
            os.close(handle)
            raise OptionError(
                f"{path.parent} is in use by {_named(path)}. Wait for it, or choose another "
                "--workdir"
            )
        if _is_still(handle, path):
            break
        os.close(handle)  # its former holder has just removed it
    who = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])[:200],
        "since": datetime.now().astimezone().isoformat(timespec="seconds"),
    }
    try:
        os.ftruncate(handle, 0)
        os.write(handle, json.dumps(who).encode())
    except OSError as error:
        os.close(handle)
        raise FileError(f"cannot write {path}: {error.strerror or error}") from error
    return handle


def _named(path: Path) -> str:
    """The holder in words, as far as the file tells."""
    holder = {
        "pid": "unknown",
        "host": "an unknown host",
        "command": "unknown",
        "since": "unknown",
        **_read(path),
    }
    return "process {pid} on {host} ({command}, since {since})".format(**holder)


def _locked(handle: int, path: Path) -> bool:
    """Whether the lock is ours now."""
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError) as error:
        if isinstance(error, OSError) and error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        return not _lives(_read(path))  # no such locks here: ask who wrote the file
    return True


def _is_still(handle: int, path: Path) -> bool:
    try:
        return os.fstat(handle).st_ino == path.stat().st_ino
    except OSError:
        return False


def _read(path: Path) -> dict[str, Any]:
    """What the lock file says; nothing where it is empty or no longer there."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _lives(holder: dict[str, Any]) -> bool:
    """Whether the holder may still be there; of another host nobody can tell, so it may."""
    if holder.get("host") != socket.gethostname():
        return bool(holder)
    pid = holder.get("pid")
    return isinstance(pid, int) and is_alive(pid)
