"""Label files: one label per row of the source, as `.npy` or as CSV.

A CSV has the column `label`, with class numbers or class names, and a column that names the rows
(`keys`).
"""

import csv
import io
from pathlib import Path

import numpy as np
from jaxtyping import Int

from prune_kit.data.identity import Rows
from prune_kit.data.keys import join_lines
from prune_kit.errors import DataError, OptionError
from prune_kit.storage import files
from prune_kit.storage.csv_files import csv_text, read_csv

CSV_COLUMNS = ("index", "id", "label")


def read_labels(
    path: Path, ids: np.ndarray, class_names: tuple[str, ...] = (), *, key: str | None = None
) -> tuple[np.ndarray, str]:
    """Read the labels in a file, in the order of the source's rows.

    Parameters
    ----------
    path
        The file, `.npy` or `.csv`.
    ids
        The ids (N,) of the rows, as UTF-8 bytes.
    class_names
        The C names of the classes, which a CSV may have in the place of their numbers.
    key
        The column of a CSV that names rows; None for one of the usual names (`keys`).

    Returns
    -------
    (N,)
        The labels.
    str
        How lines and rows were matched, where nothing in the file says it, else "".

    Raises
    ------
    DataError
        If the file is of another kind, a label is not a class, a line's row does not exist, or a
        row has no line.
    OptionError
        If the file lacks the column `key`, or is not a CSV.
    """
    if path.suffix == ".npy":
        if key is not None:
            raise OptionError(f"key={key!r} is for labels in a CSV; {path} has no columns")
        return _read_array(path), ""
    if path.suffix != ".csv":
        raise DataError(
            f"{path} is not a label file; expected a name that ends in .npy, .csv or .h5"
        )
    try:
        lines = read_csv(path)
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as CSV: {error}") from error
    if not lines:
        raise DataError(f"{path} does not have a row under its first line, which names the columns")
    column = next((name for name in lines[0] if str(name).strip().casefold() == "label"), None)
    if column is None:
        raise DataError(
            f"{path} does not have the column 'label'; its first line must name the columns"
        )
    join = join_lines(lines, ids, where=str(path), values=["label"], key=key)
    if len(join.rows) != len(ids):
        raise DataError(
            f"{path} must name each of the {len(ids):,} rows once; its {len(lines):,} lines "
            f"name {len(join.rows):,} of them"
        )
    ordered = np.empty(len(ids), dtype=np.int64)
    ordered[join.rows] = _numbers([line[column] or "" for line in lines], class_names, path)
    return ordered, join.note


def _read_array(path: Path) -> np.ndarray:
    try:
        with path.open("rb") as file:
            labels: np.ndarray = np.load(file, allow_pickle=False)
    except files.UNREADABLE_ARRAY as error:
        raise DataError(f"{path} is not an array of labels: {error}") from error
    if not isinstance(labels, np.ndarray):
        raise DataError(
            f"{path} is an .npz file under another name; save the labels with numpy.save"
        )
    return labels


def _numbers(texts: list[str], class_names: tuple[str, ...], path: Path) -> list[int]:
    """The class numbers that texts stand for: all numbers, or else all names of classes."""
    known = {name: number for number, name in enumerate(class_names)}
    wrong = [text for text in texts if not _is_whole(text)]
    if not wrong:
        return [int(text) for text in texts]
    unknown = next((text for text in wrong if text not in known), None)
    if unknown is None and all(text in known for text in texts):
        return [known[text] for text in texts]
    shown = wrong[0] if unknown is None else unknown
    some = ", ".join(class_names[:10]) + ", ..." * (len(class_names) > 10)
    raise DataError(
        f"{path} has the label {shown!r}, which is not a whole number"
        + (f" as others are; the names of classes are: {some}" if some else "")
    )


def _is_whole(text: str) -> bool:
    try:
        return abs(int(text)) < 2**63
    except ValueError:
        return False


def write_labels(path: Path, rows: Rows, label: Int[np.ndarray, "N"]) -> None:
    """Write labels to a file that `read_labels` reads.

    Parameters
    ----------
    path
        The file. Its name ends in .npy, or in .csv for the columns index, id and label.
    rows
        The rows.
    label
        The label of each row.

    Raises
    ------
    OptionError
        If the name has another ending.
    FileError
        If the file cannot be written.
    """
    if path.suffix == ".npy":
        buffer = io.BytesIO()
        np.save(buffer, label.astype(np.int64), allow_pickle=False)
        files.write_bytes(path, buffer.getbuffer())
    elif path.suffix == ".csv":
        lines = ((row, rows.id[row].decode("utf-8"), int(label[row])) for row in range(len(rows)))
        files.write_bytes(path, csv_text([CSV_COLUMNS, *lines]).encode())
    else:
        raise OptionError(
            f"{path} does not say how to write labels; expected a name that ends in .npy or .csv"
        )
