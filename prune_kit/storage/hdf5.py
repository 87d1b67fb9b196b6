"""Our HDF5 files: written in one go, and refused when they are damaged, foreign, or of another version."""

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
# how many times its stored bytes an array may claim; deflate reaches that, ours are not packed
MOST_PACKED = 1000
PLAIN_TYPES = (
    h5py.h5t.INTEGER,
    h5py.h5t.FLOAT,
    h5py.h5t.STRING,
    h5py.h5t.ENUM,
)  # the last for truth values
UNREADABLE = (
    KeyError,
    OSError,
    ValueError,
    TypeError,
    RuntimeError,
)  # what h5py says of parts absent, odd or broken


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
    path: Path,
    kind: str | None = None,
    made_by: str = "prune-kit score, select, clean, retrain or corrupt",
) -> Iterator[h5py.File]:
    """Open one of our files, and refuse what is missing, damaged, of another kind, or of another version.

    `kind` is "scores", "selection", ... or None for any of ours; `made_by` is the command that
    writes such a file. A file of up to 256 MiB is compared with its checksum first; `info --verify`
    does it for larger ones. Raises FileError, which names the file, says what it is, and what was
    expected.
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
            raise FileError(
                f"{path} is incomplete or damaged: {' '.join(str(error).split())}"
            ) from error
        return (
            found.removeprefix("prune_kit.")
            if isinstance(found, str) and found.startswith("prune_kit.")
            else ""
        )


def _opened(path: Path) -> h5py.File:
    if path.is_file() and 0 < path.stat().st_size <= CHECKED_BYTES:
        if checksum_holds(path) is False:
            raise FileError(
                f"{path} is damaged: its checksum does not hold, so it is not what was written. "
                f"{REMEDY}"
            )
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
    found = _plain_attribute(file, "format", "an HDF5 file of another program")
    found = found if isinstance(found, str) else f"an HDF5 file of another program ({found!r})"
    expected = f"prune_kit.{kind}" if kind else "prune_kit.*"
    if found != expected and not (kind is None and found.startswith("prune_kit.")):
        raise FileError(f"{path} is {found}; expected {expected}, which {made_by} writes")
    version = _plain_attribute(file, "format_version")
    if not np.array_equal(version, FORMAT_VERSION):  # the file may hold anything under that name
        raise FileError(
            f"{path} has format version {version}; this prune-kit reads version {FORMAT_VERSION}"
        )


def _check_parts(file: h5py.File, path: Path) -> None:
    """Raise FileError for a part of a type that none of ours has, or that lies in another file.

    And, before memory is taken for it, for an array that the file cannot hold.
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
                f"{path} is damaged or not ours: its {name!r} is no array of numbers or texts"
            )
        if item.is_virtual or item.external:
            raise FileError(f"{path} is not a file of ours: its {name!r} lies in another file")
        claimed, stored = item.size * item.dtype.itemsize, item.id.get_storage_size()
        if claimed > SMALL_BYTES and claimed > MOST_PACKED * stored:
            raise FileError(
                f"{path} is damaged or not ours: its {name!r} claims {item.size:,} values in "
                f"{stored:,} bytes"
            )

    check("/", file)
    file.visititems(check)


def _plain_attribute(file: h5py.File, name: str, default: Any = None) -> Any:
    """An attribute of the file, or the default where there is none of a type that one of ours could have."""
    return (
        file.attrs[name] if name in file.attrs and _is_plain(file.attrs.get_id(name)) else default
    )


def _is_plain(part: h5py.h5a.AttrID | h5py.h5d.DatasetID) -> bool:
    """Whether these are numbers or texts: of sequences, a damaged type makes the library crash when it reads them."""
    return part.get_type().get_class() in PLAIN_TYPES
