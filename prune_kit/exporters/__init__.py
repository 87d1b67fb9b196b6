"""One file per format: `export(selection, index, path) -> None`. `index` are the rows to write, kept or dropped.

`SUFFIX` is the file's ending. `WHOLE_TABLE` says that the format tells kept from dropped rows, and
so lists all rows of the source unless one kind is asked for.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from prune_kit import registry
from prune_kit.results.selection import KEPT, REASONS, Selection

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


def format_of(path: Path) -> str | None:
    """The format that the ending of a path names, if any."""
    return path.suffix[1:] if path.suffix[1:] in registry.module_names(__name__) else None


def export_path(stem: Path, format: str, what: str | None, whole: str = "") -> Path:
    """Where an export goes when nobody says: beside the selection, named for what it holds.

    `whole` is the word for a table of all rows, such as "-rows".
    """
    module = registry.load(__name__, format, "format")
    word = whole if module.WHOLE_TABLE and what is None else f"-{what or 'keep'}"
    return stem.with_name(f"{stem.name}{word}{module.SUFFIX}")


def export_sentence(selection: Selection, format: str, what: str | None) -> str:
    """What an exported file holds, in words."""
    if what is None and registry.load(__name__, format, "format").WHOLE_TABLE:
        return f"all {len(selection.rows):,} rows of {selection.rows.data}, {len(selection.index):,} of them kept"
    index = selection.dropped if what == "drop" else selection.index
    return f"the {len(index):,} rows to {what or 'keep'}, as row numbers of {selection.rows.data}"
