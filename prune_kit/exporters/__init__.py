"""One file a format: `export(selection, index, path)`.

`Exporter` says what a module must have.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int

from prune_kit import registry
from prune_kit.results.selection import KEPT, REASONS, Selection

WHAT = ("keep", "drop")
COLUMNS = ("id", "index", "label", "class", "score", "kept", "reason")


@runtime_checkable
class Exporter(Protocol):
    """What a module of this folder must have.

    Attributes
    ----------
    SUFFIX
        The ending of the file, with the dot.
    WHOLE_TABLE
        Whether the format tells kept rows from dropped ones. It then lists all rows of the source
        unless one kind is asked for.
    """

    SUFFIX: str
    WHOLE_TABLE: bool

    def export(self, selection: Selection, index: Int[np.ndarray, "K"], path: Path) -> None:
        """Write some rows of a selection to a file, whole or not at all.

        Parameters
        ----------
        selection
            The selection.
        index
            The rows to write, kept or dropped, ascending.
        path
            The file.

        Raises
        ------
        FileError
            If it cannot be written.
        """


def write_list(selection: Selection, path: Path, format: str | None, what: str | None) -> None:
    """Write the rows of a selection; parameters and errors are those of `pipeline.export`."""
    name = format or format_of(path) or "txt"
    module: Exporter = registry.load(registry.EXPORTERS, name, "format")
    if what not in (None, *WHAT):
        raise registry.unknown_name_error("`what`", str(what), WHAT)
    if what is None and module.WHOLE_TABLE:
        index = np.arange(len(selection.rows))
    else:
        index = selection.dropped if what == "drop" else selection.index
    module.export(selection, index, path)


def table_rows(selection: Selection, index: Int[np.ndarray, "K"]) -> Iterator[tuple[Any, ...]]:
    """The rows in `index`, each in the order of COLUMNS. The score is None where there is none."""
    rows = selection.rows
    score = np.full(len(rows), np.nan) if selection.score is None else selection.score
    for row in map(int, index):
        label = int(rows.label[row])
        reason = int(selection.reason[row])
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

    Parameters
    ----------
    stem
        The path of the selection, without its ending.
    format
        The name of the format.
    what
        "keep", "drop", or None for what the format lists by itself.
    whole
        The word for a table of all rows, such as "-rows".

    Raises
    ------
    OptionError
        If there is no such format.
    """
    module: Exporter = registry.load(__name__, format, "format")
    word = whole if module.WHOLE_TABLE and what is None else f"-{what or 'keep'}"
    return stem.with_name(f"{stem.name}{word}{module.SUFFIX}")


def export_sentence(selection: Selection, format: str, what: str | None) -> str:
    """What an exported file holds, in words.

    Parameters
    ----------
    selection
        The selection.
    format, what
        As `export_path`.
    """
    if what is None and registry.load(__name__, format, "format").WHOLE_TABLE:
        return (
            f"all {len(selection.rows):,} rows of {selection.rows.data}, "
            f"{len(selection.index):,} of them kept"
        )
    index = selection.dropped if what == "drop" else selection.index
    return f"the {len(index):,} rows to {what or 'keep'}, as row numbers of {selection.rows.data}"
