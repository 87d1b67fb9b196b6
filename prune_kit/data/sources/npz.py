"""npz: arrays of your own in one numpy file: x_train, y_train, and perhaps x_test, y_test, class_names, ids.

Arrays above a GiB that `numpy.savez` wrote, uncompressed, stay in the file and are read as they are
needed, so that they may be larger than the memory.
"""

import math
import struct
import zipfile
from pathlib import Path

import numpy as np

from prune_kit.data.dataset import Dataset
from prune_kit.data.named_arrays import NEEDED, OPTIONAL, from_named_arrays
from prune_kit.errors import DataError
from prune_kit.progress import Listener, silent
from prune_kit.storage.files import UNREADABLE_ARRAY

LARGE_BYTES = 2**30
LOCAL_HEADER = struct.Struct(
    "<26xHH"
)  # of a zip archive's member: the lengths of its name and of its extra field


def load(location: str, *, image_size: int | None = None, progress: Listener = silent) -> Dataset:
    """The arrays of an .npz file, in their order; pickled (object) arrays are refused, unread.

    Raises DataError when the file is missing or damaged, or its arrays are not as
    `from_named_arrays` wants them.
    """
    path = Path(location)
    if not path.is_file():
        raise DataError(f"there is no file {path}; npz:FILE names one that numpy.savez wrote")
    return from_named_arrays(_read(path), name=f"npz:{path.name}", spec=f"npz:{location}")


def _read(path: Path) -> dict[str, np.ndarray | None]:
    """The arrays that are used; the others only by name, as None."""
    key = ""
    try:
        if not zipfile.is_zipfile(path):
            raise DataError(
                f"{path} is no .npz file, or a damaged one; write it with numpy.savez(path, "
                "x_train=..., ...)"
            )
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            found: dict[str, np.ndarray | None] = dict.fromkeys(arrays.files)
            for key in found:
                if key in NEEDED + OPTIONAL:
                    found[key] = _mapped(path, f"{key}.npy")
                    if found[key] is None:
                        found[key] = arrays[key]
            return found
    except ValueError as error:
        if "allow_pickle" in str(error):
            raise DataError(
                f"{path}: {key} is an array of Python objects; save it as plain numbers or texts"
            ) from error
        raise DataError(f"{path}: {key} cannot be read: {error}") from error
    except UNREADABLE_ARRAY as error:
        raise DataError(f"{path} cannot be read (damaged or truncated?): {key}: {error}") from error


def _mapped(path: Path, member: str) -> np.ndarray | None:
    """A large array of the archive, memory-mapped; None for a small or a compressed one.

    Raises ValueError when the member is not as long as it says.
    """
    with zipfile.ZipFile(path) as archive:
        known = archive.getinfo(member) if member in archive.namelist() else None
    if known is None or known.compress_type != zipfile.ZIP_STORED or known.file_size <= LARGE_BYTES:
        return None
    with path.open("rb") as file:
        file.seek(known.header_offset)
        name, extra = LOCAL_HEADER.unpack(file.read(LOCAL_HEADER.size))
        file.seek(name + extra, 1)
        starts = file.tell()
        if np.lib.format.read_magic(file) != (1, 0):
            return None
        shape, columns_first, dtype = np.lib.format.read_array_header_1_0(file)
        offset = file.tell()
    if columns_first or dtype.hasobject:
        return None
    if offset - starts + math.prod(shape) * dtype.itemsize != known.file_size:
        raise ValueError(f"it is not as long as its shape {shape} says")
    return np.memmap(path, dtype, "r", offset, shape)
