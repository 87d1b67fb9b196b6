"""npy: the row numbers as an int64 array; numpy.load(path) reads it."""

import io
from pathlib import Path

import numpy as np
from jaxtyping import Int

from prune_kit.results.selection import Selection
from prune_kit.storage import files

WHOLE_TABLE = False
SUFFIX = ".npy"
LISTS = "row numbers"


def export(selection: Selection, index: Int[np.ndarray, "K"], path: Path) -> None:
    """Write the row numbers, ascending.

    Parameters and errors are those of `exporters.Exporter`.
    """
    buffer = io.BytesIO()
    np.save(buffer, index.astype(np.int64), allow_pickle=False)
    files.write_bytes(path, buffer.getbuffer())
