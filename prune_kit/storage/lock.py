"""One command at a time in a folder: a lock that names its holder, and that ends with it.

filelock does the locking, by the operating system's own lock (flock), so that nothing needs
cleaning up after a kill. The file `.lock` says who holds it. Where the file system has no such
locks, the host and the process number in that file decide.
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
from typing import TYPE_CHECKING, Any

from prune_kit.errors import FileError, OptionError
from prune_kit.storage.files import is_alive, remove_leftovers
from prune_kit.storage.paths import absolute, check_is_text

if TYPE_CHECKING:
    from filelock import BaseFileLock

NAME = ".lock"
PATIENCE = 0.1  # seconds for a holder that is just removing its file
UNKNOWN = {
    "pid": "unknown",
    "host": "an unknown host",
    "command": "unknown",
    "since": "unknown",
}
# the answers of a file system without locks
NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL)
_held: set[Path] = set()  # by this process: a verb may call another
_to_the_end = ExitStack()


@contextmanager
def holding(folder: Path) -> Iterator[None]:
    """Hold a folder while the block runs. In a block that holds it already, this does nothing.

    Parameters
    ----------
    folder
        The folder to hold. A missing one is made, and removed at the end if it is still empty.

    Raises
    ------
    OptionError
        Another process holds the folder; the message names it.
    FileError
        The folder cannot be written, or its path is no text.
    """
    path = absolute(folder) / NAME
    check_is_text(path.parent, "the `workdir`")
    if path in _held:
        yield
        return
    new_folders = [parent for parent in path.parents if not parent.exists()]
    lock = _acquired(path)
    _held.add(path)
    try:
        remove_leftovers(path.parent)
        yield
    finally:
        _held.discard(path)
        with suppress(OSError):  # the folder may be gone, or be somebody's work by now
            path.unlink()
            for parent in new_folders:
                parent.rmdir()
        lock.release()


def hold(folder: Path) -> None:
    """Hold a folder until `release` is called. See `holding` for the errors."""
    _to_the_end.enter_context(holding(folder))


def release() -> None:
    """Release every folder that `hold` holds."""
    _to_the_end.close()


def _acquired(path: Path) -> "BaseFileLock":
    """The lock of a path, with this process named in the file. Raises as `holding` does."""
    from filelock import FileLock, Timeout

    lock = FileLock(path, timeout=PATIENCE, thread_local=False, fallback_to_soft=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(poll_interval=PATIENCE / 10)
        acquired = True
    except Timeout:
        acquired = False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise FileError(
                f"cannot write into {path.parent}: {error.strerror or error}"
            ) from error
        acquired = not _may_be_alive(_read(path))
    if not acquired:
        raise OptionError(
            f"{path.parent} is in use by {_holder_words(path)}. Wait for it, or choose another "
            "`workdir`"
        )
    holder = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])[:200],
        "since": datetime.now().astimezone().isoformat(timespec="seconds"),
    }
    try:
        path.write_text(json.dumps(holder), "utf-8")
    except OSError as error:
        if sys.platform.startswith("win"):  # there a lock keeps everybody from writing: it is held
            return lock
        lock.release()
        raise FileError(f"cannot write {path}: {error.strerror or error}") from error
    return lock


def _holder_words(path: Path) -> str:
    """The holder in words, as far as the file names it."""
    return "process {pid} on {host} ({command}, since {since})".format(**UNKNOWN | _read(path))


def _read(path: Path) -> dict[str, Any]:
    """The content of the lock file; empty where the file is empty, unreadable or missing."""
    try:
        holder = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return holder if isinstance(holder, dict) else {}


def _may_be_alive(holder: dict[str, Any]) -> bool:
    """Whether the holder may still run. Of another host this is unknown, so it may."""
    if holder.get("host") != socket.gethostname():
        return bool(holder)
    pid = holder.get("pid")
    return isinstance(pid, int) and is_alive(pid)
