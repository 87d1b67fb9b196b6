"""parquet: the same columns as csv, typed, for pandas, polars, DuckDB; requires pyarrow."""

from pathlib import Path

import numpy as np
from jaxtyping import Int

from prune_kit.errors import OptionError
from prune_kit.exporters import COLUMNS, table_rows
from prune_kit.results.selection import Selection
from prune_kit.storage import files

WHOLE_TABLE = True
SUFFIX = ".parquet"
TYPES = ("string", "int64", "int64", "string", "float64", "bool", "string")  # as COLUMNS


def export(selection: Selection, index: Int[np.ndarray, "K"], path: Path) -> None:
    """Write a record for each row in `index`: id, index, label, class, score, kept, reason.

    Parameters and other errors are those of `exporters.Exporter`.

    Raises
    ------
    OptionError
        If pyarrow is not installed.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise OptionError(
            "format='parquet' requires pyarrow: pip install 'prune_kit[parquet]'"
        ) from error
    schema = pyarrow.schema(list(zip(COLUMNS, TYPES, strict=True)))
    records = [dict(zip(COLUMNS, values, strict=True)) for values in table_rows(selection, index)]
    table = pyarrow.Table.from_pylist(records, schema=schema)
    with files.replacing(path) as temporary:
        parquet.write_table(table, temporary)
