"""The labels of all rows, with the suggestions of a removal where they are clear."""

from pathlib import Path

from prune_kit.data.labels import CSV_COLUMNS, write_labels
from prune_kit.results.removal import Removal
from prune_kit.storage import files
from prune_kit.storage.csv_files import csv_text


def write_relabelled(path: Path, removal: Removal) -> None:
    """Write the labels to .npy, or to .csv with the columns index, id, label and class.

    `load_data(spec, labels=path)` reads them.

    Raises
    ------
    OptionError
        If the name has another ending.
    FileError
        If the file cannot be written.
    """
    rows, label = removal.rows, removal.relabelled()
    if path.suffix != ".csv":
        write_labels(path, rows, label)
        return
    lines = (
        (row, rows.id[row].decode("utf-8"), number, rows.class_names[number])
        for row, number in enumerate(label.tolist())
    )
    files.write_bytes(path, csv_text([(*CSV_COLUMNS, "class"), *lines]).encode())
