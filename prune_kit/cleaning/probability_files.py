"""Probabilities from a file: `.npy`, `.npz` or CSV, a row for each example of the data.

An array has the order of the rows. A CSV may name the row of each line, and the class of each
column; what cannot be told is refused, since a wrong order looks like wrong labels.
"""

import csv
import re
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from prune_kit.data.identity import Rows
from prune_kit.errors import FileError, IdentityError
from prune_kit.storage import files
from prune_kit.storage.csv_files import ESCAPED

PRED_PROBS = "pred_probs"  # the name of the array in an npz file
# names of columns that say which row a line is of; pandas leaves that of its index empty
INDEX_KEYS = ("index", "row", "", "unnamed: 0")
ID_KEYS = (
    "id", "file", "file_name", "filename", "filepath", "path", "image", "image_id", "image_path",
)  # fmt: skip
ZIP = b"PK"  # the first bytes of an npz file
HOW = "expected floats (N, C), as numpy.save writes them"


def read_probabilities(path: Path, rows: Rows) -> tuple[Float[np.ndarray, "N C"], str]:
    """Read the probabilities of the classes for every row.

    Parameters
    ----------
    path
        An `.npy` file; an `.npz` file with the array `pred_probs`, or with one array only; or a
        `.csv` file with a line for each row and a column for each class. Its first line may name
        the columns: as the classes, or with numbers at their ends that count the classes. A column
        `index` has row numbers, a column `id` or `file_name` ids.
    rows
        The N rows of the data.

    Returns
    -------
    probability
        Floats (N, C); of an `.npy` file as a memory map.
    said
        What was taken for granted, in words; "" for nothing.

    Raises
    ------
    FileError
        The file cannot be read, or holds no probabilities.
    IdentityError
        The lines of a CSV are not those of the rows, or it cannot be told which they are.
    """
    if path.suffix.lower() == ".csv":
        return _of_csv(path, rows)
    return _of_arrays(path), ""


def _of_arrays(path: Path) -> np.ndarray:
    """The array in an npy or npz file, as floats of at most 64 bits."""
    try:
        with path.open("rb") as file:
            if file.read(2) == ZIP:
                file.seek(0)
                with np.load(file, allow_pickle=False) as arrays:
                    found = _only_array(arrays, path)
            else:
                found = np.load(path, mmap_mode="r", allow_pickle=False)
    except files.UNREADABLE_ARRAY as error:
        reason = "" if "pickle" in str(error) else f": {' '.join(str(error).split())}"
        raise FileError(
            f"the probabilities {path} cannot be read as npy or npz{reason}; {HOW}, or .csv"
        ) from error
    if found.ndim != 2 or found.dtype.kind != "f":
        raise FileError(f"the probabilities {path} are {found.dtype} {found.shape}; {HOW}")
    return plain_floats(found)


def plain_floats(values: np.ndarray) -> np.ndarray:
    """Floats as this machine has them, of at most 64 bits; others, such as longdouble, as float64.

    What is so already, and what are no floats, is given back as it is.
    """
    if values.dtype.kind != "f" or (values.dtype.isnative and values.dtype.itemsize <= 8):
        return values
    plain: np.ndarray = values.astype(f"f{min(values.dtype.itemsize, 8)}")
    return plain


def _only_array(arrays: "np.lib.npyio.NpzFile", path: Path) -> np.ndarray:
    names = arrays.files
    if PRED_PROBS not in names and len(names) != 1:
        raise FileError(
            f"{path} has no array {PRED_PROBS!r}, and not one alone; it has: "
            f"{', '.join(names) or 'nothing'}. Save it with numpy.savez(path, {PRED_PROBS}=...)"
        )
    array: np.ndarray = arrays[PRED_PROBS if PRED_PROBS in names else names[0]]
    return array


def _of_csv(path: Path, rows: Rows) -> tuple[np.ndarray, str]:
    lines = _lines(path)
    classes = len(rows.class_names)
    header = _header(lines, rows)
    if header is None:
        if len(lines[0]) != classes:
            raise FileError(
                f"{path} has {len(lines[0])} numbers a line, and {rows.data} has {classes} classes;"
                " name the columns in the first line"
            )
        return _in_order(path, rows, lines, 1), _order_said(path)
    columns, keys = _columns(header, rows, path)
    body = lines[1:]
    if not keys:
        found = _in_order(path, rows, body, 2)
        return found[:, columns], _order_said(path)
    where = _rows_of(header, keys, body, rows, path)
    ordered = np.empty((len(rows), classes))
    ordered[where] = _numbers(body, columns, path)
    return ordered, ""


def _lines(path: Path) -> list[list[str]]:
    """The lines of a CSV file, all with as many cells."""
    try:
        # utf-8-sig, because Excel writes a mark before the first word
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = [line for line in csv.reader(file) if line]
    except (OSError, ValueError, csv.Error) as error:
        raise FileError(f"{path} cannot be read as CSV: {' '.join(str(error).split())}") from error
    if not lines:
        raise FileError(f"{path} is empty; expected a line for each row")
    wrong = next((n for n, line in enumerate(lines) if len(line) != len(lines[0])), None)
    if wrong is not None:
        raise FileError(
            f"{path}: line {wrong + 1} has {len(lines[wrong])} cells, and the first has "
            f"{len(lines[0])}; expected as many in all"
        )
    return lines


def _header(lines: list[list[str]], rows: Rows) -> list[str] | None:
    """The names of the columns; None where the first line is one of numbers."""
    first = [cell.strip() for cell in lines[0]]
    # pandas names the columns of an array 0, 1, 2, ...
    counted = first == [str(number) for number in range(len(rows.class_names))]
    named = not all(_is_number(cell) for cell in first) or (counted and len(lines) == len(rows) + 1)
    return first if named else None


def _columns(header: list[str], rows: Rows, path: Path) -> tuple[list[int], list[int]]:
    """The place of the column of each class, in their order, and the places of the keys."""
    twice = [name for name in dict.fromkeys(header) if header.count(name) > 1]
    if twice:
        raise FileError(f"{path} has the column {twice[0]!r} more than once")
    names = list(rows.class_names)
    known = set(names) & set(header)
    if len(known) == len(names):
        columns = [header.index(name) for name in names]
        others = [place for place in range(len(header)) if place not in columns]
    else:
        others = [
            place for place, name in enumerate(header) if name.lower() in INDEX_KEYS + ID_KEYS
        ]
        rest = [place for place in range(len(header)) if place not in others]
        columns = _counted(header, rest, len(names))
        if not columns or known - {header[place] for place in others}:
            lacking = next((name for name in names if name not in header), "")
            raise FileError(
                f"{path} has the columns {_few([header[place] for place in rest])}; expected one "
                f"for each of the {len(names)} classes, named as they are ({_few(names)}), or "
                f"numbered in their order. There is none for {lacking!r}"
            )
    unknown = [header[i] for i in others if header[i].lower() not in INDEX_KEYS + ID_KEYS]
    if unknown:
        raise FileError(
            f"{path} has the column {unknown[0]!r} besides the classes; leave it out, or name it "
            "index or id if it says which row a line is of"
        )
    return columns, others


def _counted(header: list[str], places: list[int], classes: int) -> list[int]:
    """The columns in the order of the numbers that their names end in; [] if these do not count."""
    numbers = [re.fullmatch(r"(.*?)(\d+)", header[place]) for place in places]
    ends = [(match[1], int(match[2])) for match in numbers if match]
    count = sorted(number for _, number in ends)
    counts = [list(range(start, start + classes)) for start in (0, 1)]
    if len(ends) < len(places) or len({stem for stem, _ in ends}) > 1 or count not in counts:
        return []
    return [places[number] for number in np.argsort([number for _, number in ends])]


def _rows_of(
    header: list[str], keys: list[int], body: list[list[str]], rows: Rows, path: Path
) -> Int[np.ndarray, "n"]:
    """The row that each line is of, which all key columns must agree on."""
    known = {one.decode("utf-8", "surrogateescape"): row for row, one in enumerate(rows.id)}
    found: np.ndarray | None = None
    for key in keys:
        cells = [line[key] for line in body]
        texts = [cell[1:] if ESCAPED.match(cell) else cell for cell in cells]
        by_number = header[key].lower() in INDEX_KEYS
        places = [
            (_row_number(text, len(rows)) if by_number else known.get(text)) for text in texts
        ]
        unknown = next((text for text, row in zip(texts, places, strict=True) if row is None), None)
        if unknown is not None:
            there = (
                f"rows 0 to {len(rows) - 1}" if by_number else f"ids such as {next(iter(known))!r}"
            )
            raise IdentityError(
                f"{path} has {unknown!r} in the column {header[key]!r}; {rows.data} has {there}"
            )
        numbers = np.array(places, dtype=np.int64)
        if found is not None and (numbers != found).any():
            line = int(np.flatnonzero(numbers != found)[0])
            raise IdentityError(
                f"{path}: line {line + 2} is of two rows, {found[line]} by {header[keys[0]]!r} and "
                f"{numbers[line]} by {header[key]!r}; leave out the wrong column"
            )
        found = numbers
    assert found is not None
    times = np.bincount(found, minlength=len(rows))
    if (times != 1).any():
        row = int(np.flatnonzero(times != 1)[0])
        many = "more than once" if times[row] else "not at all"
        raise IdentityError(
            f"{path} names row {row} {many}; expected each of the {len(rows):,} rows of "
            f"{rows.data} once, those held out as test too"
        )
    return found


def _in_order(path: Path, rows: Rows, body: list[list[str]], first: int) -> np.ndarray:
    """The numbers of lines that are in the order of the rows; the first is line number `first`."""
    if len(body) != len(rows):
        raise IdentityError(
            f"{path} has {len(body):,} lines of numbers for the {len(rows):,} rows of {rows.data}; "
            "a column index or id says which row a line is of"
        )
    return _numbers(body, list(range(len(body[0]))), path, first)


def _numbers(
    body: list[list[str]], columns: list[int], path: Path, first: int = 2
) -> Float[np.ndarray, "n C"]:
    values = np.empty((len(body), len(columns)))
    for number, line in enumerate(body):
        cells = [line[column] for column in columns]
        try:
            values[number] = [float(cell) for cell in cells]
        except ValueError as error:
            wrong = next(cell for cell in cells if not _is_number(cell))
            raise FileError(
                f"{path}: line {number + first} has {wrong!r}, which is not a number"
            ) from error
    return values


def _order_said(path: Path) -> str:
    return f"line i of {path.name} is taken for row i: it has no column that names the rows"


def _row_number(text: str, count: int) -> int | None:
    """A row number; None for a text that is none."""
    try:
        number = float(text)
    except ValueError:
        return None
    return int(number) if number in range(count) else None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _few(names: list[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
