"""Reading and writing files so that nothing half-written is ever seen, and nothing foreign is ever trusted.

Every write goes to a temporary file in the same folder, is flushed to the disk, then renamed over the target.
HDF5 images are built in memory and written in one go: h5py, writing to a full disk, can report success.
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

import h5py
import numpy as np

from prune_kit.errors import FileError
from prune_kit.heaps import check_heaps

FORMAT_VERSION = 1
CHECKED_BYTES = 2**28  # a file up to this size is compared with its checksum whenever it is read
READ_BYTES, SMALL_BYTES = 2**20, 2**20
MOST_PACKED = 1000  # how many times its stored bytes an array may claim; deflate reaches that, ours are not packed
CHECKSUM = "\nprune_kit blake2b "
CHECKSUM_ENTRY = "prune_kit blake2b"  # in a JSON object
REMEDY = "Restore a copy, or remove it and make it again"
UNREADABLE_ARRAY = (  # what numpy says of an npy or npz file that is broken, or claims more than there is memory for
    OSError, ValueError, KeyError, EOFError, TypeError, RuntimeError, MemoryError, SyntaxError, TokenError,
    BadZipFile, zlib.error,
)  # fmt: skip
PLAIN_TYPES = (h5py.h5t.INTEGER, h5py.h5t.FLOAT, h5py.h5t.STRING, h5py.h5t.ENUM)  # the last for truth values
UNREADABLE = (KeyError, OSError, ValueError, TypeError, RuntimeError)  # what h5py says of parts absent, odd or broken


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
        with suppress(OSError):  # it has been renamed, or its folder never was: nothing is left to remove
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

    Raises FileError when the file is missing, holds no JSON object, is not what its checksum says, or, where it must be
    `checked`, has none.
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


def text_array(texts: np.ndarray | list[str]) -> np.ndarray:
    """Texts as fixed-width UTF-8 bytes, which HDF5 reads a hundred times faster than variable strings."""
    array = np.asarray(texts)
    return array if array.dtype.kind == "S" else np.char.encode(array.astype(np.str_), "utf-8")


@contextmanager
def writing_hdf5(path: Path, kind: str, attributes: dict[str, Any]) -> Iterator[h5py.File]:
    """Give an HDF5 file to fill; when the block ends well it stands at `path`, with its format and `attributes`."""
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        file.attrs["format"] = f"prune_kit.{kind}"
        file.attrs["format_version"] = FORMAT_VERSION
        for name, value in attributes.items():
            file.attrs[name] = value
        yield file
    write_checked(path, memory.getbuffer())


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
    return _checksum_line(digest.hexdigest()) == found  # not so, either, when the line itself is cut


def whole(dataset: h5py.Dataset) -> np.ndarray:
    """All values of a data set, in memory."""
    values: np.ndarray = dataset[()]
    return values


def mapped(dataset: h5py.Dataset) -> np.ndarray:
    """All values of a data set, read from the file as they are looked at, where it lies there in one piece.

    Our files are replaced and never changed, so that the values stay what they are.
    """
    offset = dataset.id.get_offset()
    if offset is None or not dataset.size:
        return whole(dataset)
    return np.asarray(np.memmap(dataset.file.filename, dataset.dtype, "r", offset, dataset.shape))


def write_text_dataset(group: h5py.Group, name: str, texts: np.ndarray) -> None:
    """Store fixed-width UTF-8 bytes as an HDF5 string data set."""
    dtype = h5py.string_dtype("utf-8", max(texts.dtype.itemsize, 1))
    group.create_dataset(name, data=texts.astype(dtype))


@contextmanager
def reading_hdf5(
    path: Path, kind: str | None = None, made_by: str = "prune-kit score, select, clean, retrain or corrupt"
) -> Iterator[h5py.File]:
    """Open one of our files, and refuse what is missing, damaged, of another kind, or of another version.

    `kind` is "scores", "selection", ... or None for any of ours; `made_by` is the command that writes such a file.
    A file of up to 256 MiB is compared with its checksum first; `info --verify` does it for larger ones. Raises
    FileError, which names the file, says what it is, and what was expected.
    """
    path = Path(path)
    if not path.is_file():
        raise FileError(absent(path, f"Make it with: {made_by}"))
    with _opened(path) as file:
        try:
            _check_format(file, path, kind, made_by)
            _check_parts(file, path)
            yield file
        except UNREADABLE as error:
            raise FileError(f"{path} is incomplete or damaged: {' '.join(str(error).split())}. {REMEDY}") from error


def absent(path: Path, remedy: str) -> str:
    """What is wrong with a path that is no file, and what to do."""
    return f"{path} is a folder; name a file in it" if path.is_dir() else f"there is no file {path}. {remedy}"


def is_hdf5(path: Path) -> bool:
    """Whether a file begins as HDF5 files do. Raises FileError when it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(8) == b"\x89HDF\r\n\x1a\n"
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror or error}") from error


def kind_of(path: Path) -> str:
    """Which of our files an HDF5 file is: "scores", "selection", ...; "" for one of another program.

    Raises FileError when it is no whole HDF5 file.
    """
    with _opened(path) as file:
        try:
            found = _plain_attribute(file, "format")
        except UNREADABLE as error:
            raise FileError(f"{path} is incomplete or damaged: {' '.join(str(error).split())}") from error
        return found.removeprefix("prune_kit.") if isinstance(found, str) and found.startswith("prune_kit.") else ""


def _opened(path: Path) -> h5py.File:
    if path.is_file() and 0 < path.stat().st_size <= CHECKED_BYTES:
        if checksum_holds(path) is False:
            raise FileError(f"{path} is damaged: its checksum does not hold, so it is not what was written. {REMEDY}")
        check_heaps(path)
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise FileError(
            f"{path} is not a whole HDF5 file (damaged, truncated, or something else). If it is ours: {REMEDY.lower()}"
        ) from error


def _check_format(file: h5py.File, path: Path, kind: str | None, made_by: str) -> None:
    """Raise FileError for a file of another program, another kind, or another version."""
    found = _plain_attribute(file, "format", "an HDF5 file of another program")
    found = found if isinstance(found, str) else f"an HDF5 file of another program ({found!r})"
    expected = f"prune_kit.{kind}" if kind else "prune_kit.*"
    if found != expected and not (kind is None and found.startswith("prune_kit.")):
        raise FileError(f"{path} is {found}; expected {expected}, which {made_by} writes")
    version = _plain_attribute(file, "format_version")
    if not np.array_equal(version, FORMAT_VERSION):  # the file may hold anything under that name
        raise FileError(f"{path} has format version {version}; this prune-kit reads version {FORMAT_VERSION}")


def _check_parts(file: h5py.File, path: Path) -> None:
    """Raise FileError for a part of a type that none of ours has, or that lies in another file.

    And, before memory is taken for it, for an array that the file cannot hold.
    """

    def check(name: str, item: h5py.Group | h5py.Dataset) -> None:
        for number in range(h5py.h5a.get_num_attrs(item.id)):
            attribute = h5py.h5a.open(item.id, index=number)
            if not _is_plain(attribute):
                raise FileError(f"{path} is damaged or not ours: {name!r} has an attribute of a type that none has")
        if isinstance(item, h5py.Group):
            return
        if not isinstance(item, h5py.Dataset) or not _is_plain(item.id):
            raise FileError(f"{path} is damaged or not ours: its {name!r} is no array of numbers or texts")
        if item.is_virtual or item.external:
            raise FileError(f"{path} is not a file of ours: its {name!r} lies in another file")
        claimed, stored = item.size * item.dtype.itemsize, item.id.get_storage_size()
        if claimed > SMALL_BYTES and claimed > MOST_PACKED * stored:
            raise FileError(
                f"{path} is damaged or not ours: its {name!r} claims {item.size:,} values in {stored:,} bytes"
            )

    check("/", file)
    file.visititems(check)


def _plain_attribute(file: h5py.File, name: str, default: Any = None) -> Any:
    """An attribute of the file, or the default where there is none of a type that one of ours could have."""
    return file.attrs[name] if name in file.attrs and _is_plain(file.attrs.get_id(name)) else default


def _is_plain(part: h5py.h5a.AttrID | h5py.h5d.DatasetID) -> bool:
    """Whether these are numbers or texts: of sequences, a damaged type makes the library crash when it reads them."""
    return part.get_type().get_class() in PLAIN_TYPES


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
