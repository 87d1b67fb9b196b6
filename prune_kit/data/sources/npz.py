"""npz: arrays of your own in one numpy file: x_train, y_train, and perhaps x_test, y_test, class_names, ids."""

import zipfile
from pathlib import Path

import numpy as np

from prune_kit.data.dataset import Dataset
from prune_kit.data.named_arrays import NEEDED, OPTIONAL, from_named_arrays
from prune_kit.errors import DataError
from prune_kit.files import UNREADABLE_ARRAY
from prune_kit.progress import Listener, nobody


def load(location: str, *, image_size: int | None = None, progress: Listener = nobody) -> Dataset:
    """The arrays of an .npz file, in their order; pickled (object) arrays are refused, unread.

    Raises DataError when the file is missing or damaged, or its arrays are not as `from_named_arrays` wants them.
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
                f"{path} is no .npz file, or a damaged one; write it with numpy.savez(path, x_train=..., ...)"
            )
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            found: dict[str, np.ndarray | None] = dict.fromkeys(arrays.files)
            for key in found:
                if key in NEEDED + OPTIONAL:
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
