"""json: row numbers, ids, labels by number and by class, and where they come from."""

from pathlib import Path

import numpy as np
from jaxtyping import Int

from prune_kit.results.selection import Selection
from prune_kit.storage import files

WHOLE_TABLE = False
SUFFIX = ".json"
LISTS = "row numbers"


def export(selection: Selection, index: Int[np.ndarray, "K"], path: Path) -> None:
    """Write one object: the lists `index`, `id`, `label` and `class`, and where they come from.

    `label` is the number of a row's class, and `class` its name.

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
            "label": rows.label[index].tolist(),
            "class": [rows.class_names[label] for label in rows.label[index].tolist()],
        },
    )
