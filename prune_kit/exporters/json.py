"""json: row numbers, ids, and where they come from."""

from pathlib import Path

import numpy as np
from jaxtyping import Int

from prune_kit.results.selection import Selection
from prune_kit.storage import files

WHOLE_TABLE = False
SUFFIX = ".json"


def export(selection: Selection, index: Int[np.ndarray, "K"], path: Path) -> None:
    """Write one object: `index` and `id` (both (K,)), and the provenance of the selection.

    Parameters and errors are those of `exporters.Exporter`.
    """
    rows = selection.rows
    files.write_json(
        path,
        {
            "index": index.tolist(),
            "id": [rows.id[row].decode("utf-8") for row in index],
            "data": rows.data,
            "fingerprint": rows.fingerprint,
            "rule": selection.rule,
            "parameters": selection.parameters,
            "column": selection.column,
            "scored_with": selection.scored_with,
            "created": selection.created,
        },
    )
