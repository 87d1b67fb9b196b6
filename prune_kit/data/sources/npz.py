"""npz: your own arrays in one numpy file.

The arrays are x_train and y_train, and possibly x_test, y_test, class_names and ids. Arrays above a
GiB that are not compressed (`numpy.savez`) stay in the file and are read as they are needed, so
they may be larger than the memory.
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
# The header of a zip archive's member, with the lengths of its name and of its extra field.
LOCAL_HEADER = struct.Struct("<26xHH")


def load(location: str, *, progress: Listener = silent) -> Dataset:
    """Load the arrays of an .npz file in their order.

    Parameters
    ----------
    location
        The file.
    progress
        Not used.

    Returns
    -------
    Dataset
        The data set.

    Raises
    ------
    DataError
        If the file is missing or damaged, or an array is not as `from_named_arrays` requires.
        Pickled (object) arrays are refused and not read.
    """
    path = Path(location)
    if not path.is_file():
        raise DataError(
            f"the file {path} does not exist; npz:FILE names a file that numpy.savez wrote"
        )
    return from_named_arrays(_read(path), name=f"npz:{path.name}", spec=f"npz:{location}")


def _read(path: Path) -> dict[str, np.ndarray | None]:
    """The arrays by name. Those that are not used are None."""
    key = ""
    try:
        if not zipfile.is_zipfile(path):
            raise DataError(
                f"{path} is not an .npz file, or it is damaged; write it with numpy.savez(path, "
                "x_train=..., ...)"
            )
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            by_name: dict[str, np.ndarray | None] = dict.fromkeys(arrays.files)
            for key in by_name:
                if key in NEEDED + OPTIONAL:
                    by_name[key] = _mapped(path, f"{key}.npy")
                    if by_name[key] is None:
                        by_name[key] = arrays[key]
            return by_name
    except ValueError as error:
        if "allow_pickle" in str(error):
            raise DataError(
                f"{path}: {key} is an array of Python objects; save it as plain numbers or texts"
            ) from error
        raise DataError(f"{path}: {key} cannot be read: {error}") from error
    except UNREADABLE_ARRAY as error:
        raise DataError(f"{path} cannot be read (damaged or truncated?): {key}: {error}") from error


def _mapped(path: Path, member: str) -> np.ndarray | None:
    """A large array of the archive, memory-mapped; None if it is small or compressed.

    Raises ValueError if the member does not have the length that its header says.
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
        raise ValueError(f"its length does not agree with its shape {shape}")
    return np.memmap(path, dtype, "r", offset, shape)
