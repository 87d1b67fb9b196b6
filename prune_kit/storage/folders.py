"""Writing a folder: nobody sees half of one.

It is built beside its place, under another name, and then renamed.
"""

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from prune_kit.errors import FileError, OptionError
from prune_kit.storage.files import is_alive


@contextmanager
def building(path: Path) -> Iterator[Path]:
    """Write a folder as a whole or not at all.

    The block writes into the temporary folder that this yields. If the block ends without an error,
    the temporary folder is renamed to `path`. Otherwise it is removed.

    Raises
    ------
    OptionError
        There is something at `path` that is not an empty folder.
    FileError
        The folder cannot be written, or the disk is full.
    """
    check_free(path)
    # unlike the name of a temporary file, this is no name that `files.remove_leftovers` looks for
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(6)}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path)
        temporary.mkdir()
        yield temporary
        if path.is_dir():  # Windows renames over no folder, not over an empty one either
            path.rmdir()
        temporary.rename(path)
    except OSError as error:
        raise FileError(
            f"cannot write {path}: {error.strerror or error}. What was there before is unchanged"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)  # it has been renamed, or is not whole


def check_free(path: Path) -> None:
    """Raise OptionError unless there is nothing at a path, or an empty folder."""
    if not path.name:
        raise OptionError(f"{path} names no folder; name the one that is to be written")
    with suppress(OSError):  # what cannot be looked at, cannot be written, which is told there
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            raise OptionError(f"{path} is there already, and is no folder; name another")
        if path.is_dir() and any(path.iterdir()):
            raise OptionError(
                f"the folder {path} is there already, and is not empty; remove it, or name another"
            )


def _remove_leftovers(path: Path) -> None:
    """Remove what killed processes left of this folder."""
    for left in path.parent.glob(".*.partial"):
        writer = re.fullmatch(
            rf"\.{re.escape(path.name)}\.(\d+)-[0-9a-f]{{12}}\.partial", left.name
        )
        if writer and not is_alive(int(writer[1])):
            shutil.rmtree(left, ignore_errors=True)
