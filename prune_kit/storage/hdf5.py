"""Our HDF5 files: written in one go; a damaged or foreign one, or another version, is refused."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from prune_kit.errors import FileError
from prune_kit.storage.files import REMEDY, absent, checksum_holds, write_checked
from prune_kit.storage.hdf5_heaps import check_heaps

FORMAT_VERSION = 1
SMALL_BYTES = 2**20
CHECKED_BYTES = 2**28  # a file up to this size is compared with its checksum whenever it is read
# An array may claim this many times its stored bytes. Deflate reaches that; ours are not packed.
MOST_PACKED = 1000
PLAIN_TYPES = (h5py.h5t.INTEGER, h5py.h5t.FLOAT, h5py.h5t.STRING, h5py.h5t.ENUM)  # ENUM: booleans
# the errors of h5py for parts that are missing, odd or broken
UNREADABLE = (KeyError, OSError, ValueError, TypeError, RuntimeError)


def text_array(texts: np.ndarray | list[str]) -> np.ndarray:
    """Texts as fixed-width UTF-8 bytes.

    HDF5 reads these a hundred times faster than strings of variable length.

    Raises
    ------
    FileError
        A text holds bytes that are no UTF-8 text.
    """
    array = np.asarray(texts)
    if array.dtype.kind == "S":
        return array
    try:
        return np.char.encode(array.astype(np.str_), "utf-8")
    except UnicodeEncodeError as error:
        raise FileError(
            f"{error.object!r} is no UTF-8 text, so no file can hold it; rename it"
        ) from error


@contextmanager
def writing_hdf5(path: Path, kind: str, attributes: dict[str, Any]) -> Iterator[h5py.File]:
    """Write one of our HDF5 files, as a whole or not at all.

    The block fills the file that this yields. The file is written when the block ends without an
    error.

    Parameters
    ----------
    path
        The file to replace.
    kind
        "scores", "selection", "removal", "outcomes" or "labels".
    attributes
        The attributes of the file, beside its format and the version of that.

    Raises
    ------
    FileError
        The file cannot be written.
    """
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        file.attrs["format"] = f"prune_kit.{kind}"
        file.attrs["format_version"] = FORMAT_VERSION
        for name, value in attributes.items():
            file.attrs[name] = value
        yield file
    write_checked(path, memory.getbuffer())


def whole(dataset: h5py.Dataset) -> np.ndarray:
    """All values of an HDF5 data set, in memory."""
    values: np.ndarray = dataset[()]
    return values


def mapped(dataset: h5py.Dataset) -> np.ndarray:
    """All values of an HDF5 data set, read from the file when they are looked at.

    A data set that does not lie in the file in one piece is read at once. The values cannot change
    later, because our files are replaced as a whole.
    """
    offset = dataset.id.get_offset()
    if offset is None or not dataset.size:
        return whole(dataset)
    return np.asarray(np.memmap(dataset.file.filename, dataset.dtype, "r", offset, dataset.shape))


def write_text_dataset(group: h5py.Group, name: str, texts: np.ndarray) -> None:
    """Store fixed-width UTF-8 bytes as an HDF5 string data set.

    Parameters
    ----------
    group
        The open file, or a group of it.
    name
        The name of the data set.
    texts
        The texts (n,), as `text_array` makes them.
    """
    dtype = h5py.string_dtype("utf-8", max(texts.dtype.itemsize, 1))
    group.create_dataset(name, data=texts.astype(dtype))


@contextmanager
def reading_hdf5(
    path: Path,
    kind: str | None = None,
    made_by: str = "prune-kit score, select, clean, retrain or corrupt",
) -> Iterator[h5py.File]:
    """Open one of our HDF5 files for reading.

    A file of up to CHECKED_BYTES is compared with its checksum first. `prune-kit info --verify`
    compares larger ones.

    Parameters
    ----------
    path
        The file to read.
    kind
        "scores", "selection", "removal", "outcomes" or "labels"; None for any of them.
    made_by
        The command that writes such a file, for the messages.

    Raises
    ------
    FileError
        The file is missing or damaged, or it is of another kind or version.
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
            raise FileError(
                f"{path} is incomplete or damaged: {' '.join(str(error).split())}. {REMEDY}"
            ) from error


def is_hdf5(path: Path) -> bool:
    """Whether a file begins as HDF5 files do. Raises FileError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(8) == b"\x89HDF\r\n\x1a\n"
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror or error}") from error


def kind_of(path: Path) -> str:
    """The kind of one of our HDF5 files: "scores", "selection", ...; "" for another program's.

    Raises
    ------
    FileError
        The file is not a whole HDF5 file.
    """
    with _opened(path) as file:
        try:
            format = _plain_attribute(file, "format")
        except UNREADABLE as error:
            raise FileError(
                f"{path} is incomplete or damaged: {' '.join(str(error).split())}"
            ) from error
        if not isinstance(format, str) or not format.startswith("prune_kit."):
            return ""
        return format.removeprefix("prune_kit.")


def _opened(path: Path) -> h5py.File:
    if path.is_file() and 0 < path.stat().st_size <= CHECKED_BYTES:
        if checksum_holds(path) is False:
            raise FileError(f"{path} is damaged: its checksum does not hold. {REMEDY}")
        check_heaps(path)
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise FileError(
            f"{path} is not a whole HDF5 file (damaged, truncated, or something else). If it is "
            f"ours: {REMEDY.lower()}"
        ) from error


def _check_format(file: h5py.File, path: Path, kind: str | None, made_by: str) -> None:
    """Raise FileError for a file of another program, another kind, or another version."""
    format = _plain_attribute(file, "format", "an HDF5 file of another program")
    format = format if isinstance(format, str) else f"an HDF5 file of another program ({format!r})"
    expected = f"prune_kit.{kind}" if kind else "prune_kit.*"
    if format != expected and not (kind is None and format.startswith("prune_kit.")):
        raise FileError(f"{path} is {format}; expected {expected}, which {made_by} writes")
    version = _plain_attribute(file, "format_version")
    if not np.array_equal(version, FORMAT_VERSION):  # the file may hold anything under that name
        raise FileError(
            f"{path} has format version {version}; this prune-kit reads version {FORMAT_VERSION}"
        )


def _check_parts(file: h5py.File, path: Path) -> None:
    """Raise FileError for a part that none of our files can have.

    That is a part of another type, an array that lies in another file, and an array that claims
    more values than the file can hold. No memory is taken before.
    """

    def check(name: str, item: h5py.Group | h5py.Dataset) -> None:
        for number in range(h5py.h5a.get_num_attrs(item.id)):
            attribute = h5py.h5a.open(item.id, index=number)
            if not _is_plain(attribute):
                raise FileError(
                    f"{path} is damaged or not ours: {name!r} has an attribute of a type that none "
                    "has"
                )
        if isinstance(item, h5py.Group):
            return
        if not isinstance(item, h5py.Dataset) or not _is_plain(item.id):
            raise FileError(
                f"{path} is damaged or not ours: its {name!r} is not an array of numbers or texts"
            )
        if item.is_virtual or item.external:
            raise FileError(f"{path} is not a file of ours: its {name!r} lies in another file")
        claimed = item.size * item.dtype.itemsize
        stored = item.id.get_storage_size()
        if claimed > SMALL_BYTES and claimed > MOST_PACKED * stored:
            raise FileError(
                f"{path} is damaged or not ours: its {name!r} claims {item.size:,} values in "
                f"{stored:,} bytes"
            )

    check("/", file)
    file.visititems(check)


def _plain_attribute(file: h5py.File, name: str, default: Any = None) -> Any:
    """An attribute of the file; the default where it is missing or neither a number nor a text."""
    return (
        file.attrs[name] if name in file.attrs and _is_plain(file.attrs.get_id(name)) else default
    )


def _is_plain(part: h5py.h5a.AttrID | h5py.h5d.DatasetID) -> bool:
    """Whether the values are numbers or texts.

    The HDF5 library crashes when it reads a sequence whose type is damaged.
    """
    return part.get_type().get_class() in PLAIN_TYPES
