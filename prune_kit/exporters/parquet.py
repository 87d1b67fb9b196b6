"""parquet: the same columns as csv, typed, for pandas, polars, DuckDB; requires pyarrow."""

from pathlib import Path

import numpy as np
from jaxtyping import Int

from prune_kit.errors import OptionError
from prune_kit.exporters import columns_of, table_rows
from prune_kit.results.selection import Selection
from prune_kit.storage import files

WHOLE_TABLE = True
SUFFIX = ".parquet"
LISTS = "row numbers"
TYPES = ("string", "int64", "int64", "string", "float64", "bool", "string", "float64")


def export(selection: Selection, index: Int[np.ndarray, "K"], path: Path) -> None:
    """Write a record for each row in `index`: id, index, label, class, score, kept, reason.

    A removal has its suspicion as in csv.

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
    columns = columns_of(selection)
    schema = pyarrow.schema(list(zip(columns, TYPES, strict=False)))  # the last is a removal's
    records = [dict(zip(columns, values, strict=True)) for values in table_rows(selection, index)]
    table = pyarrow.Table.from_pylist(records, schema=schema)
    with files.replacing(path) as temporary:
        parquet.write_table(table, temporary)
