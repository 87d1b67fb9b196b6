"""Scores that others have published, or made: `.npz`, `.npy` or CSV files.

An `.npz` has `scores` and `labels`, as the C-score authors write it. Row i of a file is row i of
the training data. Only labels can confirm this, so labels must match row by row.
"""

import csv
from pathlib import Path

import numpy as np

from prune_kit.data.identity import Rows
from prune_kit.data.keys import join_lines
from prune_kit.errors import FileError, IdentityError, OptionError
from prune_kit.storage.csv_files import read_csv
from prune_kit.storage.files import UNREADABLE_ARRAY

SUFFIXES = (".npz", ".npy", ".csv")


def read_external_scores(
    path: Path, rows: Rows, *, by_content: bool = False, key: str | None = None
) -> tuple[np.ndarray, str]:
    """Read external scores for the rows of a table.

    A CSV has the column `score` and a column that names the rows (`data.keys`). It may have the
    column `label`.

    Parameters
    ----------
    path : Path
        An `.npz`, `.npy` or `.csv` file.
    rows : Rows
        The N rows of the table.
    by_content : bool
        Accept the true labels of a relabelled table, too.
    key : str or None
        The column of a CSV that names rows. None for one of the usual names.

    Returns
    -------
    (N,) float64
        The scores as they are written. NaN for rows that a CSV does not list.
    str
        How lines and rows were matched, where nothing in the file says it, else "".

    Raises
    ------
    FileError
        The file is unreadable, or has another layout.
    IdentityError
        The rows or labels are not those of the table.
    """
    if path.suffix == ".csv":
        return _read_csv(path, rows, by_content, key)
    if key is not None:
        raise OptionError(f"key={key!r} is for scores in a CSV; {path} has no columns")
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            arrays = (
                dict(loaded) if isinstance(loaded, np.lib.npyio.NpzFile) else {"scores": loaded}
            )
    except UNREADABLE_ARRAY as error:
        reason = (
            "it is no array file, or holds Python objects"
            if "pickle" in str(error)
            else " ".join(str(error).split())
        )
        raise FileError(f"{path} cannot be read as {path.suffix[1:]}: {reason}") from error
    needed = ("scores", "labels") if path.suffix == ".npz" else ("scores",)
    lacking = [name for name in needed if name not in arrays]
    if lacking:
        raise FileError(
            f"{path} has no {' and no '.join(lacking)}; it has: {', '.join(arrays) or 'nothing'}"
        )
    scores = _numbers(arrays["scores"], "scores", path, rows)
    if "labels" in arrays:
        _check_labels(
            _numbers(arrays["labels"], "labels", path, rows),
            np.arange(len(rows)),
            path,
            rows,
            by_content,
        )
    return scores, ""


def _numbers(values: np.ndarray, name: str, path: Path, rows: Rows) -> np.ndarray:
    if values.dtype.kind not in "iuf":
        raise FileError(f"{path}: {name} are {values.dtype}, not numbers")
    if values.ndim != 1:
        raise FileError(
            f"{path}: {name} have the shape {values.shape}; expected one number per row, "
            f"({len(rows)},)"
        )
    if len(values) != len(rows):
        training = len(rows.training)
        remedy = (
            f"{training:,} of them train. Give every row a number, in the same order, NaN where it "
            "is held out as test"
            if len(values) == training
            else "a published file must score every row, in the same order"
        )
        raise IdentityError(
            f"{path} has {len(values):,} {name}, but {rows.data} has {len(rows):,} rows; {remedy}"
        )
    with np.errstate(over="ignore"):  # what is larger than any double becomes infinite
        return values.astype(np.float64)


def _check_labels(
    labels: np.ndarray, where: np.ndarray, path: Path, rows: Rows, by_content: bool
) -> None:
    """Raise IdentityError unless `labels` are those of the rows `where`."""
    wrong = np.flatnonzero(labels != rows.label[where])
    if not len(wrong):
        return
    truly = rows.true_label is not None and np.array_equal(labels, rows.true_label[where])
    if truly and by_content:
        return
    first = wrong[0]
    remedy = (
        "They are the true labels of a relabelled data set: align=True accepts them"
        if truly
        else "The file is of other data, or in another order"
    )
    raise IdentityError(
        f"{path} is not of the data of the score table ({rows.data}): {len(wrong):,} of "
        f"{len(labels):,} labels differ, the first in row {where[first]} ({labels[first]:g} "
        f"against {rows.label[where[first]]}). {remedy}"
    )


def _read_csv(path: Path, rows: Rows, by_content: bool, key: str | None) -> tuple[np.ndarray, str]:
    try:
        lines = read_csv(path)
    except (OSError, ValueError, csv.Error) as error:
        raise FileError(f"{path} cannot be read as CSV: {' '.join(str(error).split())}") from error
    if not lines or "score" not in lines[0]:
        raise FileError(f"{path} has no column 'score'; its first line must name the columns")
    join = join_lines(
        lines, rows.id, where=str(path), values=["score", "label"], key=key, error=IdentityError
    )
    where = join.rows
    scores = np.full(len(rows), np.nan)
    scores[where] = [
        _number(line, "score", number, path) for number, line in enumerate(lines, start=2)
    ]
    if "label" in lines[0]:
        labels = np.array(
            [_number(line, "label", number, path) for number, line in enumerate(lines, start=2)]
        )
        _check_labels(labels, where, path, rows, by_content)
    return scores, join.note


def _number(line: dict[str, str], column: str, number: int, path: Path) -> float:
    """One number of a line; an empty score is NaN. Raises FileError."""
    text = line[column]
    if column == "score" and text == "":
        return float("nan")
    try:
        return float(text)
    except (TypeError, ValueError) as error:  # TypeError: the line is too short to have this column
        raise FileError(f"{path}, line {number}: {column} {text!r} is not a number") from error
