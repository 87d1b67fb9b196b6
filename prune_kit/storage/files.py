"""Reading and writing files: nobody sees half a file, and a damaged one is refused.

Every write goes to a temporary file in the same folder. That file is flushed to the disk and then
renamed over the target. HDF5 files are built in memory and written in one go, because h5py can
report success when the disk is full.

A symbolic link stays, and the file that it leads to is replaced. A file that is replaced keeps its
mode. Folders, devices and pipes are refused.
"""

import hashlib
import io
import json
import os
import re
import secrets
import stat
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tokenize import TokenError
from typing import Any
from zipfile import BadZipFile

import numpy as np

from prune_kit.errors import FileError

READ_BYTES = 2**20
CHECKSUM = "\nprune_kit blake2b "
CHECKSUM_ENTRY = "prune_kit blake2b"  # in a JSON object
NO_FILE = "a device, a pipe or an open file of a process, which cannot be replaced; name a file"
PROC = "/proc"  # whose links lead to open files, not to names
MOST_LINKS = 40  # so many does Linux follow
REMEDY = "Restore a copy, or remove it and make it again"
# the errors of numpy for an npy or npz file that is broken or larger than the memory
UNREADABLE_ARRAY = (
    OSError, ValueError, KeyError, EOFError, TypeError, RuntimeError, MemoryError, SyntaxError,
    TokenError, BadZipFile, zlib.error,
)  # fmt: skip


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write a file as a whole or not at all.

    The block writes to the temporary path that this yields. If the block ends without an error,
    the temporary file is flushed to the disk and renamed to the target of `path`. Otherwise it is
    removed, and the target stays as it was.

    Raises
    ------
    FileError
        `target_of` refuses the path, the folder cannot be written, or the disk is full.
    """
    target = target_of(path)
    # a part of the name, for the whole may have the greatest length that a name can have
    temporary = target.with_name(f".{target.name[:40]}.{os.getpid()}-{secrets.token_hex(6)}.tmp")
    try:
        before = target.stat() if target.exists() else None
        target.parent.mkdir(parents=True, exist_ok=True)
        # until it is whole, it is nobody else's to read where the file was not
        temporary.touch(mode=0o600 if before else 0o666, exist_ok=False)
        yield temporary
        _flush(temporary)
        if before:
            with suppress(PermissionError):  # a file system without modes
                temporary.chmod(stat.S_IMODE(before.st_mode))
        temporary.replace(target)
        _flush_folder(target.parent)
    except OSError as error:
        raise FileError(
            f"cannot write {path}: {error.strerror or error}. What was there before is unchanged"
        ) from error
    finally:
        with suppress(OSError):  # it has been renamed, or its folder does not exist
            temporary.unlink()


def target_of(path: str | Path) -> Path:
    """The file that is written where a path is given: the end of a chain of symbolic links.

    Parameters
    ----------
    path
        The path of a file. The file, or that to which a link leads, need not exist.

    Returns
    -------
    Path
        The path itself where it is no link.

    Raises
    ------
    FileError
        The path names no file, is a folder, a device or a pipe, or leads in a circle.
    """
    path = target = Path(path)
    if not path.name:
        raise FileError(f"cannot write {path}: it names no file")
    try:
        if path.exists() and not path.is_file():
            what = "a folder; name a file in it" if path.is_dir() else NO_FILE
            raise FileError(f"cannot write {path}: it is {what}")
        for _ in range(MOST_LINKS):
            if not target.is_symlink():
                return target
            if target.parent.resolve().is_relative_to(PROC):  # /dev/stdout, sent into a file
                raise FileError(f"cannot write {path}: it is {NO_FILE}")
            target = target.parent / target.readlink()
    except OSError as error:
        raise FileError(f"cannot write {path}: {error.strerror or error}") from error
    raise FileError(f"cannot write {path}: its symbolic links lead in a circle; remove them")


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files that killed processes left in a folder and in those under it.

    The caller must hold the folder (see `lock`), because process numbers are those of this machine.
    """
    for path in folder.rglob(".*.tmp"):
        writer = re.fullmatch(r"\..+\.(\d+)-[0-9a-f]{12}\.tmp", path.name)
        if writer and not is_alive(int(writer[1])):
            path.unlink(missing_ok=True)


def is_alive(pid: int) -> bool:
    """Whether a process with this number runs on this machine. On Windows nobody can tell."""
    if sys.platform.startswith("win"):  # where `os.kill` would end it
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # the process of another user
        return True
    return True


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Replace a file by these bytes, as a whole or not at all. Raises FileError."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, value: dict[str, Any], *, checked: bool = False) -> None:
    """Replace a file by a JSON object, as a whole or not at all.

    Parameters
    ----------
    path
        The file to replace.
    value
        The object.
    checked
        Whether to add an entry with a checksum of the others.

    Raises
    ------
    FileError
        The file cannot be written.
    """
    checksum = {CHECKSUM_ENTRY: _json_digest(value)} if checked else {}
    write_bytes(path, (json.dumps(value | checksum, indent=1) + "\n").encode())


def read_json(path: Path, *, checked: bool = False) -> dict[str, Any]:
    """Read a JSON object that `write_json` wrote.

    Parameters
    ----------
    path
        The file to read.
    checked
        Whether the file must have a checksum. A checksum that is there is always compared.

    Returns
    -------
    dict
        The object, without the entry for the checksum.

    Raises
    ------
    FileError
        The file is missing, is not a JSON object, or does not match its checksum.
    """
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise FileError(f"cannot read {path}: {error}") from error
    if not isinstance(value, dict):
        raise FileError(f"cannot read {path}: it holds no JSON object")
    checksum = value.pop(CHECKSUM_ENTRY, None)
    if (checked or checksum is not None) and checksum != _json_digest(value):
        raise FileError(f"{path} is damaged: its checksum does not hold")
    return value


def _json_digest(value: dict[str, Any]) -> str:
    return hashlib.blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=32).hexdigest()


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write named arrays as an uncompressed npz file with a checksum. Raises FileError."""
    buffer = io.BytesIO()
    # numpy's stub takes the keywords for its own option
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    write_checked(path, buffer.getbuffer())


def read_array(path: Path, name: str) -> np.ndarray:
    """Read one array of an npz file that `write_arrays` wrote.

    Raises
    ------
    FileError
        The file cannot be read, or has no array of this name.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            array: np.ndarray = arrays[name]
            return array
    except UNREADABLE_ARRAY as error:
        raise FileError(f"cannot read {name!r} from {path}: {error}") from error


def write_checked(path: Path, content: memoryview) -> None:
    """Replace a file by an HDF5, npy or npz file and a checksum, as a whole or not at all.

    The checksum stands behind the content, where readers of these formats do not look.

    Raises
    ------
    FileError
        The file cannot be written.
    """
    with replacing(path) as temporary, temporary.open("wb") as written:
        written.write(content)
        written.write(_checksum_line(hashlib.blake2b(content, digest_size=32).hexdigest()))


def _checksum_line(digest: str) -> bytes:
    """The line that `write_checked` writes behind the content."""
    return f"{CHECKSUM}{digest}\n".encode()


def checksum_holds(path: Path) -> bool | None:
    """Whether a file matches the checksum that `write_checked` wrote.

    Returns
    -------
    bool or None
        None for a file without a checksum.

    Raises
    ------
    FileError
        The file cannot be read.
    """
    line = _checksum_line("0" * 64)
    try:
        with path.open("rb") as file:
            content = max(file.seek(0, os.SEEK_END) - len(line), 0)
            file.seek(content)
            ending = file.read()
            if line[:8] not in ending:
                return None
            file.seek(0)
            digest = hashlib.blake2b(digest_size=32)
            while content > 0:
                piece = file.read(min(content, READ_BYTES))
                digest.update(piece)
                content -= len(piece)
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror or error}") from error
    return _checksum_line(digest.hexdigest()) == ending  # False, too, for a line that is cut off


def absent(path: Path, remedy: str) -> str:
    """The message for a path that is not a file: what it is, and what to do about it."""
    return (
        f"{path} is a folder; name a file in it"
        if path.is_dir()
        else f"there is no file {path}. {remedy}"
    )


def _flush(path: Path, flags: int = os.O_RDWR) -> None:
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _flush_folder(path: Path) -> None:
    """Flush the names in a folder. Not everywhere can a folder be opened, and the file is there."""
    with suppress(OSError):
        _flush(path, os.O_RDONLY)
