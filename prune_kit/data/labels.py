"""Label files: one integer per row of the source, as `.npy` or as CSV with a column `label`."""

import csv
import zipfile
from pathlib import Path

import numpy as np

from prune_kit.errors import DataError


def read_labels(path: Path) -> np.ndarray:
    """The labels in a file, in the order of its rows.

    A CSV's column `index`, where there is one, must count 0, 1, 2, ...
    Raises DataError when the file is neither, or its labels are no integers.
    """
    if path.suffix == ".npy":
        try:
            with path.open("rb") as file:
                labels: np.ndarray = np.load(file, allow_pickle=False)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(f"{path} is no array of labels: {error}") from error
        if not isinstance(labels, np.ndarray):
            raise DataError(f"{path} is an .npz file under another name; save the labels with numpy.save")
        return labels
    if path.suffix == ".csv":
        try:
            with path.open(newline="", encoding="utf-8-sig") as file:  # -sig: Excel writes a mark before the first word
                lines = list(csv.DictReader(file))
        except (OSError, ValueError, csv.Error) as error:
            raise DataError(f"{path} cannot be read as CSV: {error}") from error
        if not lines or "label" not in lines[0]:
            raise DataError(f"{path} has no column 'label'; its first line must name the columns")
        try:
            if "index" in lines[0] and [int(line["index"]) for line in lines] != list(range(len(lines))):
                raise DataError(f"{path}: the column 'index' must count 0, 1, 2, ... without a gap")
            return np.array([int(line["label"]) for line in lines], dtype=np.int64)
        except (TypeError, ValueError, OverflowError) as error:
            raise DataError(f"{path} holds a label that is no integer: {error}") from error
    raise DataError(f"{path} is no label file that is known here; expected .npy or .csv")
