"""hf: a folder for Hugging Face datasets: an imagefolder, or row numbers for Dataset.select.

Of a folder of images it holds what the format `folder` holds, and `metadata.csv` with file_name and
label, the name of the class. Any other data have `indices.json`, the row numbers:

    datasets.load_dataset("imagefolder", data_dir=path, split="train").class_encode_column("label")
    dataset.select(json.load(open(f"{path}/indices.json")))

A folder of images has no `indices.json`: load_dataset lists files in another order than torchvision
does, so the row numbers here are not those there.
"""

import csv
import io
import json
from collections import defaultdict
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Int

from prune_kit.errors import OptionError
from prune_kit.exporters._images import Sources, check_outside, is_folder, write_tree
from prune_kit.results.selection import Selection
from prune_kit.storage.folders import building

OPTIONS = {"data": "shared", "copy": "shared", "with_test": "shared"}
WHOLE_TABLE = False
SUFFIX = "-hf"
LISTS = "Hugging Face data"
INDICES, METADATA = "indices.json", "metadata.csv"


def export(
    selection: Selection,
    index: Int[np.ndarray, "K"],
    path: Path,
    *,
    data: str | None,
    copy: bool,
    with_test: bool,
) -> None:
    """Write a new folder, or fill an empty one.

    Parameters and other errors are those of `exporters.Exporter`. OPTIONS describes the options.

    Raises
    ------
    OptionError
        If there is something at `path`, or an option is for a folder of images, and the data are
        none.
    DataError, IdentityError
        If an image is not where it was scored, or is another one.
    FileError
        If the folder cannot be written.
    """
    if not is_folder(selection.rows.data):
        _check_no_images(selection, data, copy, with_test)
        with building(path) as folder:
            (folder / INDICES).write_text(json.dumps(index.tolist()) + "\n", "utf-8")
        return
    sources = Sources.of(selection, "hf", data)
    check_outside(path, sources)
    with building(path) as folder:
        placed = write_tree(selection, index, sources, folder, copy=copy, with_test=with_test)
        _write_metadata(selection, placed, folder, depth=1 if with_test else 0)


def _check_no_images(selection: Selection, data: str | None, copy: bool, with_test: bool) -> None:
    """Raise OptionError for an option that needs image files."""
    given = {"data": data is not None, "copy": copy, "with_test": with_test}
    wrong = [f"`{name}`" for name, is_given in given.items() if is_given]
    if wrong:
        raise OptionError(
            f"{' and '.join(wrong)} is for a folder of images, and the data are "
            f"{selection.rows.data}, of which hf has the row numbers; leave it out"
        )


def _write_metadata(
    selection: Selection, placed: list[tuple[int, PurePosixPath]], folder: Path, depth: int
) -> None:
    """Write the table of labels, one in each folder at this depth, such as train and test."""
    rows = selection.rows
    lines = defaultdict[PurePosixPath, list[tuple[str, str]]](list)
    lines[PurePosixPath("train") if depth else PurePosixPath()] = []  # also where no row is kept
    for row, place in placed:
        above = PurePosixPath(*place.parts[:depth])
        name = str(place.relative_to(above))
        lines[above].append((name, rows.class_names[rows.label[row]]))
    for above, table in lines.items():
        (folder / above).mkdir(exist_ok=True)
        text = _table([("file_name", "label"), *table])
        (folder / above / METADATA).write_bytes(text.encode("utf-8", "surrogateescape"))


def _table(lines: list[tuple[str, str]]) -> str:
    """The text of a CSV file. Nothing is escaped for spreadsheets: `datasets` opens the names."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()
