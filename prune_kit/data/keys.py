"""Which row of the data each line of a CSV is about: by a column that names it, never by guessing.

The column is `index` or `row` (the number of the row), or `id`, `file`, `file_name`, `filename`,
`filepath`, `path`, `image` or `image_id` (the id, or a path that ends in it), in any case. pandas
writes its index under an empty name. Another column must be named. Lines are taken in the order of
the rows only where the file has no column that could say otherwise.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from prune_kit.errors import DataError, OptionError, PruneKitError

NUMBERS = ("index", "row")
PATHS = ("file", "file_name", "filename", "filepath", "path", "image", "image_id")
KEYS = (*NUMBERS, "id", *PATHS)
UNNAMED = ""  # how pandas writes its index
BY_POSITION = "has no column that names rows, so line i is taken for row i"

Lines = Sequence[Mapping[str, str]]


@dataclass(frozen=True, eq=False)
class Join:
    """The row that each of L lines is about, with a `note` where nothing in the file says it."""

    rows: Int[np.ndarray, "L"]
    note: str = ""


def join_lines(
    lines: Lines,
    ids: np.ndarray,
    *,
    where: str,
    values: Iterable[str],
    key: str | None = None,
    error: type[PruneKitError] = DataError,
) -> Join:
    """Find the row of each line of a CSV.

    Parameters
    ----------
    lines
        The L lines, each by the names of its columns. There is at least one.
    ids
        The ids (N,) of the rows, as UTF-8 bytes.
    where
        The file, for errors.
    values
        The columns that hold values, such as "label". They cannot name rows.
    key
        The column that names rows. None for one of the usual names.
    error
        The kind of error to raise.

    Returns
    -------
    Join
        The row numbers, in 0 .. N - 1. No row occurs twice.

    Raises
    ------
    OptionError
        If the file does not have the column `key`.
    PruneKitError
        An `error`, if a line names no row, two lines name the same row, or nothing says which rows
        the lines are about.
    """
    columns = {str(name).strip().casefold(): name for name in lines[0] if name is not None}
    others = [name for name in columns if name not in set(values)]
    if key is None and not others:
        if len(lines) != len(ids):
            raise error(
                f"{where} has {len(lines):,} lines for {len(ids):,} rows; add a column 'index' or "
                "'id' that says which rows they are about"
            )
        return Join(np.arange(len(ids)), f"{where} {BY_POSITION}")
    usual = [name for name in (*KEYS, UNNAMED) if name in others]
    if key is not None:
        chosen = key.strip().casefold()
        if chosen not in columns:
            raise OptionError(
                f"key={key!r}: {where} has no such column; it has: {_listed(columns.values())}"
            )
    elif usual:
        named = [name for name in usual if _names_rows(lines, columns[name], ids)]
        chosen = (named or usual)[0]
    else:
        raise error(
            f"{where} has the columns {_listed(columns.values())}, and none of them is known to "
            f"name rows. Say which one does, such as key={columns[others[0]]!r}"
        )
    rows = _rows(lines, columns[chosen], ids, where, chosen in NUMBERS, error)
    number, times = Counter(rows.tolist()).most_common(1)[0]
    if times > 1:
        raise error(f"{where} has row {number} more than once")
    if chosen in NUMBERS and "id" in columns:
        _check_ids(lines, columns["id"], rows, ids, where, error)
    return Join(rows)


def _names_rows(lines: Lines, column: str, ids: np.ndarray) -> bool:
    """Whether a column may name rows: by number, or by an id that the data have."""
    if column.strip().casefold() in (*NUMBERS, UNNAMED):
        return True
    return bool(_by_id([(line[column] or "").strip() for line in lines], ids))


def _rows(
    lines: Lines,
    column: str,
    ids: np.ndarray,
    where: str,
    are_numbers: bool,
    error: type[PruneKitError],
) -> np.ndarray:
    """The row numbers in a column, or those of the ids in it."""
    texts = [(line[column] or "").strip() for line in lines]
    numbers = [_whole(text) for text in texts]
    known = [] if are_numbers else _by_id(texts, ids)
    if known:
        wrong = next((text for text, row in zip(texts, known, strict=True) if row is None), None)
        if wrong is not None:
            raise error(
                f"{where} names {wrong!r} in its column {column!r}, which is not an id of the "
                f"data; an example of an id is {ids[0].decode('utf-8')!r}"
            )
        return np.array(known, dtype=np.int64)
    wrong = next(
        (t for t, n in zip(texts, numbers, strict=True) if n is None or not 0 <= n < len(ids)),
        None,
    )
    if wrong is None and (are_numbers or column.strip() == UNNAMED):
        return np.array(numbers, dtype=np.int64)
    if are_numbers or column.strip() == UNNAMED:
        raise error(
            f"{where} has {wrong!r} in its column {column!r}; the rows are 0 to {len(ids) - 1}"
        )
    hint = (
        "; if these are numbers of rows, call the column 'index'"
        if all(number is not None for number in numbers)
        else ""
    )
    raise error(
        f"{where} names {texts[0]!r} in its column {column!r}, which is not an id of the data; an "
        f"example of an id is {ids[0].decode('utf-8')!r}{hint}"
    )


def _by_id(texts: list[str], ids: np.ndarray) -> list[int | None]:
    """The row of each text by its id: as it is, as a path that ends in it, or by its file name.

    A file name counts only where no two ids share it. Empty where no text names a row.
    """
    names = [identity.decode("utf-8") for identity in ids.tolist()]
    places = {name: row for row, name in enumerate(names)}
    if any(text in places for text in texts):
        return [places.get(text) for text in texts]
    paths = [text.replace("\\", "/").removeprefix("./") for text in texts]
    tails = [_tail_in(path, places) for path in paths]
    if any(row is not None for row in tails):
        return tails
    last = [name.rpartition("/")[2] for name in names]
    unique = {name: row for row, name in enumerate(last) if "." in name}
    if len(unique) < len(names):
        return []
    found = [unique.get(path.rpartition("/")[2]) for path in paths]
    return found if any(row is not None for row in found) else []


def _tail_in(path: str, places: Mapping[str, int]) -> int | None:
    """The row whose id is the longest end of a path, cut at a slash."""
    while path:
        if path in places:
            return places[path]
        path = path.partition("/")[2]
    return None


def _whole(text: str) -> int | None:
    """The whole number that a text spells, also as 3.0; None for any other text."""
    try:
        number = float(text)
    except ValueError:
        return None
    return int(number) if number.is_integer() else None


def _check_ids(
    lines: Lines,
    column: str,
    rows: np.ndarray,
    ids: np.ndarray,
    where: str,
    error: type[PruneKitError],
) -> None:
    for line, row in zip(lines, rows.tolist(), strict=True):
        name = ids[row].decode("utf-8")
        if line[column] != name:
            raise error(f"{where} calls row {row} {line[column]!r}; in the data it is {name!r}")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names)
