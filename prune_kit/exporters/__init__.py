"""One file a format: `export(selection, index, path, **options)`.

`Exporter` says what a module must have. Its options stand in OPTIONS, see `prune_kit.registry`;
those that several formats take are described here, in SHARED_OPTIONS.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int

from prune_kit import registry
from prune_kit.checks import check_kind
from prune_kit.results.removal import CLEANED, Removal
from prune_kit.results.selection import KEPT, REASONS, Selection

WHAT = ("keep", "drop")
COLUMNS = ("id", "index", "label", "class", "score", "kept", "reason")
SUSPICION = "suspicion"  # the last column of a removal's table
SHARED_OPTIONS = {
    "data": {
        "type": "str",
        "default": None,
        "metavar": "SPEC",
        "help": "Where the same images lie now, such as folder:DIR, if they were moved.",
    },
    "copy": {
        "type": "bool",
        "default": False,
        "help": "Copy the images instead of linking to them.",
    },
    "with_test": {
        "type": "bool",
        "default": False,
        "help": "Write train/CLASS/FILE, and the rows held out as test as test/CLASS/FILE.",
    },
}


@runtime_checkable
class Exporter(Protocol):
    """What a module of this folder must have.

    Attributes
    ----------
    SUFFIX
        The ending of the file, with the dot. A format whose ending has no dot writes a folder.
    WHOLE_TABLE
        Whether the format tells kept rows from dropped ones. It then lists all rows of the source
        unless one kind is asked for.
    LISTS
        What stands for a row, in words, such as "row numbers".
    """

    SUFFIX: str
    WHOLE_TABLE: bool
    LISTS: str

    def export(
        self, selection: Selection, index: Int[np.ndarray, "K"], path: Path, **options: Any
    ) -> None:
        """Write some rows of a selection to a file or folder, whole or not at all.

        Parameters
        ----------
        selection
            The selection.
        index
            The rows to write, kept or dropped, ascending.
        path
            The file or folder.
        options
            Every option that the module declares.

        Raises
        ------
        OptionError
            If the format cannot write these rows.
        FileError
            If it cannot be written.
        """


def write_list(
    chosen: Selection | Removal,
    path: str | Path,
    format: str | None,
    what: str | None,
    options: Mapping[str, Any],
) -> Path:
    """Write the rows of a selection or removal, and say where.

    Parameters and errors are those of `pipeline.export`.
    """
    name = format or format_of(Path(path)) or "txt"
    given = {option: value for option, value in options.items() if value is not None}
    own = registry.chosen_options(registry.EXPORTERS, "format", [name], given)[name]
    if what not in (None, *WHAT):
        raise registry.unknown_name_error("`what`", str(what), WHAT)
    module: Exporter = registry.load(registry.EXPORTERS, name, "format")
    stem = "removal" if isinstance(chosen, Removal) else "selection"
    target = target_of(path, export_path(Path(stem), name, what), name)
    selection = selection_with_scores(chosen)
    if what is None and module.WHOLE_TABLE:
        index = np.arange(len(selection.rows))
    else:
        index = selection.dropped if what == "drop" else selection.index
    module.export(selection, index, target, **own)
    return target


def selection_with_scores(chosen: Selection | Removal) -> Selection:
    """The selection itself; or the complement of a removal, with the suspicion as its score."""
    if not isinstance(chosen, Removal):
        check_kind(chosen, Selection, "selection", "select")
        return chosen
    score = np.full(len(chosen.rows), np.nan, dtype=np.float32)
    score[chosen.index] = chosen.suspicion
    return replace(chosen.selection, score=score)


def columns_of(selection: Selection) -> tuple[str, ...]:
    """The columns of the table of a selection. That of a removal has the suspicion besides."""
    return (*COLUMNS, SUSPICION) if selection.rule == CLEANED else COLUMNS


def table_rows(selection: Selection, index: Int[np.ndarray, "K"]) -> Iterator[tuple[Any, ...]]:
    """The rows in `index`, each in the order of `columns_of`.

    The score is None where there is none. Of a removal it is the suspicion of the listed rows.
    """
    rows = selection.rows
    score = np.full(len(rows), np.nan) if selection.score is None else selection.score
    more = len(columns_of(selection)) - len(COLUMNS)
    for row in map(int, index):
        label = int(rows.label[row])
        reason = int(selection.reason[row])
        value = None if np.isnan(score[row]) else float(score[row])
        yield (
            rows.id[row].decode("utf-8"),
            row,
            label,
            rows.class_names[label],
            value,
            reason == KEPT,
            REASONS[reason],
            *[value] * more,
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


def target_of(out: str | Path, usual: Path, format: str) -> Path:
    """Where an export goes when a user names a file, or a folder for it.

    A path that ends in a slash is the folder in which a file gets its usual name. A format that
    writes a folder writes the one that is named.

    Parameters
    ----------
    out
        What the user gave.
    usual
        The path where nobody says, as `export_path` gives it.
    format
        The name of the format.
    """
    inside = str(out).endswith(("/", os.sep))
    return Path(out) / usual.name if inside and not writes_folder(format) else Path(out)


def writes_folder(format: str) -> bool:
    """Whether a format writes a folder. Raises OptionError if there is no such format."""
    module: Exporter = registry.load(__name__, format, "format")
    return "." not in module.SUFFIX


def export_sentence(selection: Selection, format: str, what: str | None) -> str:
    """What an exported file holds, in words.

    Parameters
    ----------
    selection
        The selection.
    format, what
        As `export_path`.
    """
    module: Exporter = registry.load(__name__, format, "format")
    if what is None and module.WHOLE_TABLE:
        return (
            f"all {len(selection.rows):,} rows of {selection.rows.data}, "
            f"{len(selection.index):,} of them kept"
        )
    index = selection.dropped if what == "drop" else selection.index
    return (
        f"the {len(index):,} rows to {what or 'keep'}, as {module.LISTS} of {selection.rows.data}"
    )
