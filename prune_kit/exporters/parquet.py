"""parquet: the same columns as csv, typed, for pandas, polars, DuckDB; needs pyarrow."""

from pathlib import Path

import numpy as np
from jaxtyping import Int

from prune_kit import files
from prune_kit.errors import OptionError
from prune_kit.exporters import COLUMNS, table_rows
from prune_kit.selection import Selection

WHOLE_TABLE = True
SUFFIX = ".parquet"


def export(selection: Selection, index: Int[np.ndarray, "K"], path: Path) -> None:
    """Write a record for each row in `index`: id, index, label, class, score, kept, reason. Raises OptionError."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise OptionError("--format parquet needs pyarrow: pip install 'prune_kit[parquet]'") from error
    records = list(zip(*table_rows(selection, index), strict=True))
    table = pyarrow.table(dict(zip(COLUMNS, map(list, records), strict=True)))
    with files.replacing(path) as temporary:
        parquet.write_table(table, temporary)
