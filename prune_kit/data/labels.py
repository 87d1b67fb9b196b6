"""Label files: one integer per row of the source, as `.npy` or as CSV.

A CSV has the column `label`, and possibly `index` or `id`.
"""

import csv
import io
from pathlib import Path

import numpy as np
from jaxtyping import Int

from prune_kit.data.identity import Rows
from prune_kit.errors import DataError, OptionError
from prune_kit.storage import files
from prune_kit.storage.csv_files import csv_text, read_csv

CSV_COLUMNS = ("index", "id", "label")


def read_labels(path: Path, ids: np.ndarray) -> np.ndarray:
    """Read the labels in a file, in the order of the source's rows.

    Parameters
    ----------
    path
        The file, `.npy` or `.csv`. The lines of a CSV are matched with rows by the column `index`
        or `id`. Without these columns they are in the order of the rows.
    ids
        The ids (N,) of the rows, as UTF-8 bytes.

    Returns
    -------
    (N,)
        The labels.

    Raises
    ------
    DataError
        If the file is of another kind, a label is not an integer, or a line's row does not exist.
    """
    if path.suffix == ".npy":
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
    if path.suffix == ".csv":
        try:
            lines = read_csv(path)
        except (OSError, ValueError, csv.Error) as error:
            raise DataError(f"{path} cannot be read as CSV: {error}") from error
        if not lines:
            raise DataError(
                f"{path} does not have a row under its first line, which names the columns"
            )
        if "label" not in lines[0]:
            raise DataError(
                f"{path} does not have the column 'label'; its first line must name the columns"
            )
        try:
            ordered = np.empty(len(lines), dtype=np.int64)
            ordered[_rows_of(lines, ids, path)] = [int(line["label"]) for line in lines]
            return ordered
        except (TypeError, ValueError, OverflowError) as error:
            raise DataError(
                f"{path} holds a label or an index that is not an integer: {error}"
            ) from error
    raise DataError(f"{path} is not a label file; expected a name that ends in .npy, .csv or .h5")


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


def _rows_of(lines: list[dict[str, str]], ids: np.ndarray, path: Path) -> list[int]:
    """The row number that each line of a CSV refers to."""
    if "index" in lines[0]:
        rows = [int(line["index"]) for line in lines]
    elif "id" in lines[0]:
        places = {identity.decode("utf-8"): row for row, identity in enumerate(ids)}
        unknown = [line["id"] for line in lines if line["id"] not in places]
        if unknown:
            raise DataError(
                f"{path} names {unknown[0]!r}, which is not an id of the data; an example of an "
                f"id is {next(iter(places))!r}"
            )
        rows = [places[line["id"]] for line in lines]
    else:
        return list(range(len(lines)))
    if sorted(rows) != list(range(len(ids))):
        raise DataError(
            f"{path} must name each of the {len(ids):,} rows once; its {len(lines):,} lines "
            f"name {len(set(rows) & set(range(len(ids)))):,} of them"
        )
    for line, row in zip(lines, rows, strict=True):
        if "id" in line and row < len(ids) and line["id"] != ids[row].decode("utf-8"):
            raise DataError(
                f"{path} calls row {row} {line['id']!r}; in the data it is "
                f"{ids[row].decode('utf-8')!r}"
            )
    return rows
