"""csv: every row of the source with its id, label, class, score, whether it is kept, and why."""

from pathlib import Path

import numpy as np
from jaxtyping import Int

from prune_kit.exporters import columns_of, table_rows
from prune_kit.results.selection import Selection
from prune_kit.storage import files
from prune_kit.storage.csv_files import csv_text

WHOLE_TABLE = True
SUFFIX = ".csv"
LISTS = "row numbers"


def export(selection: Selection, index: Int[np.ndarray, "K"], path: Path) -> None:
    """Write a line for each row in `index`: id, index, label, class, score, kept, reason.

    In the table of a removal the score of a listed row is its suspicion, and it stands once more
    under that name, in the last column.

    Parameters and errors are those of `exporters.Exporter`.
    """
    files.write_bytes(
        path, csv_text([columns_of(selection), *table_rows(selection, index)]).encode()
    )
