"""One file per format: `export(selection, index, path) -> None`. `index` are the rows to write, kept or dropped.

`SUFFIX` is the file's ending. `WHOLE_TABLE` says that the format tells kept from dropped rows, and so lists all rows of
the source unless one kind is asked for.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Int

from prune_kit.selection import KEPT, REASONS, Selection

COLUMNS = ("id", "index", "label", "class", "score", "kept", "reason")


def table_rows(selection: Selection, index: Int[np.ndarray, "K"]) -> Iterator[tuple[Any, ...]]:
    """The rows in `index`, each in the order of COLUMNS; the score is None where there is none."""
    rows = selection.rows
    score = np.full(len(rows), np.nan) if selection.score is None else selection.score
    for row in map(int, index):
        label, reason = int(rows.label[row]), int(selection.reason[row])
        yield (
            rows.id[row].decode("utf-8"),
            row,
            label,
            rows.class_names[label],
            None if np.isnan(score[row]) else float(score[row]),
            reason == KEPT,
            REASONS[reason],
        )
