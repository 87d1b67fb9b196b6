"""The npz files of a run: named arrays, one for each signal, and which of them a file holds.

The names of the arrays are the version of a file. One that was written before a signal existed
lacks its name; it is recorded anew for whoever asks for that signal, and keeps what it has.
"""

from pathlib import Path
from zipfile import ZipFile

import numpy as np

from prune_kit.errors import FileError
from prune_kit.storage import files

REMEDY = "Remove that file, and the run records it again"


def threshold_file(threshold: float) -> str:
    """The name of the file that is recorded when the training accuracy reaches `threshold`."""
    return f"threshold-{float(threshold)}.npz"


def holds(path: Path, names: frozenset[str]) -> bool:
    """Whether a file is there and, if it is one of signals, has those of these `names`.

    A run that never reached a threshold has no signals there, and lacks none. Raises FileError when
    the file is damaged.
    """
    if not path.is_file() or path.suffix != ".npz":
        return path.is_file()
    recorded = array_names(path)
    return names <= recorded or ("step" in recorded and int(read_signal(path, "step")) < 0)


def array_names(path: Path) -> frozenset[str]:
    """The names of the arrays in an npz file of a run. Raises FileError when it is damaged."""
    try:
        with ZipFile(path) as file:
            return frozenset(name.removesuffix(".npy") for name in file.namelist())
    except files.UNREADABLE_ARRAY as error:
        raise FileError(f"cannot read {path}: {error}. {REMEDY}") from error


def write_signals(path: Path, computed: dict[str, np.ndarray]) -> None:
    """Write named arrays; those that the file holds already stay as they are, to the last bit."""
    kept = array_names(path) if path.is_file() else ()
    files.write_arrays(path, computed | {name: read_signal(path, name) for name in kept})


def read_signal(path: Path, name: str) -> np.ndarray:
    """One array of what a training left. Raises FileError, which says what to do."""
    try:
        return files.read_array(path, name)
    except FileError as error:
        raise FileError(f"{error}. {REMEDY}") from error
