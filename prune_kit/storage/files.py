"""Reading and writing files so that nothing half-written is ever seen, and nothing foreign is ever trusted.

Every write goes to a temporary file in the same folder, is flushed to the disk, then renamed over
the target. HDF5 images are built in memory and written in one go: h5py, writing to a full disk, can
report success.
"""

import hashlib
import io
import json
import os
import re
import secrets
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
REMEDY = "Restore a copy, or remove it and make it again"
# what numpy says of an npy or npz file that is broken, or claims more than there is memory for
UNREADABLE_ARRAY = (
    OSError, ValueError, KeyError, EOFError, TypeError, RuntimeError, MemoryError, SyntaxError, TokenError,
    BadZipFile, zlib.error,
)  # fmt: skip


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; when the block ends well, flush it and rename it to `path`.

    If the block or the disk fails, the temporary file goes and `path` stays what it was.
    Raises FileError when the folder cannot be written or the disk is full.
    """
    path = Path(path)
    if not path.name:
        raise FileError(f"cannot write {path}: it names no file")
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(6)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch(exist_ok=False)
        yield temporary
        _flush(temporary)
        temporary.replace(path)
        _flush(path.parent)
    except OSError as error:
        raise FileError(
            f"cannot write {path}: {error.strerror or error}. What was there before is unchanged"
        ) from error
    finally:
        with suppress(
            OSError
        ):  # it has been renamed, or its folder never was: nothing is left to remove
            temporary.unlink()


def remove_leftovers(folder: Path) -> None:
    """Remove, in `folder` and all under it, the temporary files of processes that were killed while they wrote.

    For whoever holds the folder (`lock`): the process numbers are those of this machine.
    """
    for path in folder.rglob(".*.tmp"):
        writer = re.fullmatch(r"\..+\.(\d+)-[0-9a-f]{12}\.tmp", path.name)
        if writer and not is_alive(int(writer[1])):
            path.unlink(missing_ok=True)


def is_alive(pid: int) -> bool:
    """Whether a process of this machine has this number."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # it is another user's
        return True
    return True


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Replace `path` by `content`, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, value: dict[str, Any], *, checked: bool = False) -> None:
    """Replace `path` by `value` as indented JSON; `checked` puts a checksum of the rest beside the other entries."""
    seal = {CHECKSUM_ENTRY: _json_digest(value)} if checked else {}
    write_bytes(path, (json.dumps(value | seal, indent=1) + "\n").encode())


def read_json(path: Path, *, checked: bool = False) -> dict[str, Any]:
    """What `write_json` wrote, its checksum left out.

    Raises FileError when the file is missing, holds no JSON object, is not what its checksum says,
    or, where it must be `checked`, has none.
    """
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise FileError(f"cannot read {path}: {error}") from error
    if not isinstance(found, dict):
        raise FileError(f"cannot read {path}: it holds no JSON object")
    written = found.pop(CHECKSUM_ENTRY, None)
    if (checked or written is not None) and written != _json_digest(found):
        raise FileError(f"{path} is damaged: its checksum does not hold")
    return found


def _json_digest(value: dict[str, Any]) -> str:
    return hashlib.blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=32).hexdigest()


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write named arrays as an uncompressed npz file, with a checksum."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]  # numpy's stub takes the keywords for its own option
    write_checked(path, buffer.getbuffer())


def read_array(path: Path, name: str) -> np.ndarray:
    """Read one array of an npz file that `write_arrays` wrote."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            array: np.ndarray = arrays[name]
            return array
    except UNREADABLE_ARRAY as error:
        raise FileError(f"cannot read {name!r} from {path}: {error}") from error


def write_checked(path: Path, content: memoryview) -> None:
    """Replace `path` by an HDF5, npy or npz image with a checksum behind it, where their readers do not look."""
    with replacing(path) as temporary, temporary.open("wb") as written:
        written.write(content)
        written.write(_checksum_line(hashlib.blake2b(content, digest_size=32).hexdigest()))


def _checksum_line(digest: str) -> bytes:
    """What `write_checked` writes behind the content."""
    return f"{CHECKSUM}{digest}\n".encode()


def checksum_holds(path: Path) -> bool | None:
    """Whether a file is, to the last bit, what was written; None where it says nothing of it.

    Raises FileError when it cannot be read.
    """
    line = _checksum_line("0" * 64)
    try:
        with path.open("rb") as file:
            content = max(file.seek(0, os.SEEK_END) - len(line), 0)
            file.seek(content)
            found = file.read()
            begins = found.find(line[:8])
            if begins < 0:
                return None
            file.seek(0)
            digest = hashlib.blake2b(digest_size=32)
            while content > 0:
                piece = file.read(min(content, READ_BYTES))
                digest.update(piece)
                content -= len(piece)
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror or error}") from error
    return (
        _checksum_line(digest.hexdigest()) == found
    )  # not so, either, when the line itself is cut


def absent(path: Path, remedy: str) -> str:
    """What is wrong with a path that is no file, and what to do."""
    return (
        f"{path} is a folder; name a file in it"
        if path.is_dir()
        else f"there is no file {path}. {remedy}"
    )


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
