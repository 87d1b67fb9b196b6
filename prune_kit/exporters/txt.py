"""txt: one row number a line; numpy.loadtxt(path, dtype=int) reads it."""

from pathlib import Path

import numpy as np
from jaxtyping import Int

from prune_kit.results.selection import Selection
from prune_kit.storage import files

WHOLE_TABLE = False
SUFFIX = ".txt"
LISTS = "row numbers"


def export(selection: Selection, index: Int[np.ndarray, "K"], path: Path) -> None:
    """Write the row numbers, ascending, in decimal.

    Parameters and errors are those of `exporters.Exporter`.
    """
    files.write_bytes(path, "".join(f"{row}\n" for row in index).encode())
