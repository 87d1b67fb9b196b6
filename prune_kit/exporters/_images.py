"""The image files behind a selection, and folders of them."""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from prune_kit.data.identity import HELD_OUT, Rows, content_digests
from prune_kit.errors import DataError, FileError, IdentityError, OptionError
from prune_kit.results.selection import Selection

FOLDER = "folder"  # the data source whose rows are files
TRAIN, TEST = "train", "test"


def is_folder(spec: str) -> bool:
    """Whether a specification of data names a folder of images."""
    return spec.partition(":")[0] == FOLDER


@dataclass(frozen=True)
class Sources:
    """The files of the rows of a selection.

    Attributes
    ----------
    rows
        The rows of the data set.
    root
        The folder that their ids are relative to.
    moved
        Whether the user says where the folder lies, so that its files may be others.
    """

    rows: Rows
    root: Path
    moved: bool

    @classmethod
    def of(cls, selection: Selection, format: str, data: str | None) -> "Sources":
        """The files behind a selection.

        Parameters
        ----------
        selection
            The selection.
        format
            The format that needs them, for messages.
        data
            Where the folder lies now; None for where it lay.

        Raises
        ------
        OptionError
            If the data are no folder of images.
        """
        rows = selection.rows
        if not is_folder(rows.data):
            raise OptionError(
                f"format={format!r} is for a folder of images, and the data are {rows.data}, whose "
                "rows are no files; the formats txt, npy, json and csv have row numbers"
            )
        if data is not None and not is_folder(data):
            raise OptionError(f"data={data!r} is no folder of images; give data='folder:DIR'")
        spec = rows.data if data is None else data
        root = Path(spec.partition(":")[2]).expanduser().absolute()
        return cls(rows, root, data is not None)

    def paths(self, index: Sequence[int] | np.ndarray) -> list[Path]:
        """The absolute path of the file of each row in `index`.

        Raises
        ------
        DataError
            If a file is not there.
        IdentityError
            If the folder was moved, and a file is another one.
        """
        # an id may hold bytes that are no UTF-8, as the name of a file may
        found = [self.root / os.fsdecode(self.rows.id[row]) for row in index]
        absent = [path for path in found if not path.is_file()]
        if absent:
            raise DataError(
                f"{len(absent):,} of {len(found):,} images are not there, the first is {absent[0]}"
                ". If the images were moved, say where they are: data='folder:DIR'"
            )
        if self.moved:
            for row, path in zip(index, found, strict=True):
                self.content(int(row), path)
        return found

    def content(self, row: int, path: Path) -> bytes:
        """The bytes of the file of a row, which are those that were scored.

        Raises
        ------
        DataError
            If it cannot be read.
        IdentityError
            If the file is another one.
        """
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DataError(f"cannot read {path}: {error.strerror or error}") from error
        if content_digests([content])[0] != self.rows.digest[row]:
            raise IdentityError(
                f"{path} is not the image that was scored: its content has changed. Score the data "
                "again, or say where the same images are: data='folder:DIR'"
            )
        return content


def write_tree(
    selection: Selection, index: np.ndarray, sources: Sources, folder: Path, *, copy: bool,
    with_test: bool,
) -> list[tuple[int, PurePosixPath]]:  # fmt: skip
    """Write links to the files of rows, or copies of them, as CLASS/FILE.

    Parameters
    ----------
    selection
        The selection.
    index
        Its rows to write.
    sources
        Where their files are.
    folder
        A folder that is there.
    copy
        Whether to copy.
    with_test
        Whether to write the rows that are held out as test, too. The tree is then train/CLASS/FILE
        and test/CLASS/FILE.

    Returns
    -------
    list
        Each row with its path in the folder.

    Raises
    ------
    OptionError
        If no row is held out, or the name of a class cannot be that of a folder.
    DataError, IdentityError
        If a file is not there, or is another one.
    FileError
        If a link cannot be made.
    """
    placed = [(row, PurePosixPath(place)) for row, place in _places(selection.rows, index)]
    if with_test:
        held_out = np.flatnonzero(selection.rows.role == HELD_OUT)
        if not len(held_out):
            raise OptionError(
                f"with_test=True is for rows that are held out as test, and {selection.rows.data} "
                "has a test set of its own, in its folder; leave it out"
            )
        tests = _places(selection.rows, held_out)
        placed = [(row, TRAIN / place) for row, place in placed]
        placed += [(row, PurePosixPath(TEST, place)) for row, place in tests]
    for name in {place.parent for _, place in placed}:
        (folder / name).mkdir(parents=True, exist_ok=True)
    put = _copied(sources) if copy else _linked
    paths = sources.paths([row for row, _ in placed])
    for (row, place), path in zip(placed, paths, strict=True):
        put(row, path, folder / place)
    return placed


def check_outside(path: Path, sources: Sources) -> None:
    """Raise OptionError for a folder that would lie among the images, and so become data."""
    if path.absolute().resolve().is_relative_to(sources.root.resolve()):
        raise OptionError(
            f"{path} lies in the folder of the images, {sources.root}, and would be read as a part "
            "of them; name a folder elsewhere"
        )


def _places(rows: Rows, index: np.ndarray) -> list[tuple[int, str]]:
    """The rows in `index`, each with CLASS/FILE, where no two are the same.

    A file keeps its name where no other of its class has it. Otherwise it keeps its path below the
    folder of its class or, where that is not enough, below the folder of the data. The class is
    that of the label, so a relabelled file moves to its new class.
    """
    for name in {rows.class_names[label] for label in rows.label[index].tolist()}:
        if name in ("", ".", "..") or any(mark in name for mark in ("/", os.sep, "\0")):
            raise OptionError(
                f"the class {name!r} cannot be the name of a folder; format='files' lists the "
                "images instead"
            )
    origins = {int(row): PurePosixPath(os.fsdecode(rows.id[row])) for row in index}
    classes = {row: rows.class_names[rows.label[row]] for row in origins}
    places: dict[int, str] = {}
    taken = set[str]()
    for name_of in (_name, _below_class, _whole):
        named = {
            row: f"{classes[row]}/{name_of(origin, classes[row])}"
            for row, origin in origins.items()
        }
        times = Counter(named.values())
        for row, place in named.items():
            if row not in places and place not in taken and times[place] == 1:
                places[row] = place
                taken.add(place)
    for row in sorted(origins.keys() - places.keys()):  # a class within a folder of its own name
        place = f"{row}/{origins[row]}"
        while f"{classes[row]}/{place}" in taken:
            place = f"{row}/{place}"
        places[row] = f"{classes[row]}/{place}"
        taken.add(places[row])
    return [(row, places[row]) for row in origins]


def _name(origin: PurePosixPath, name: str) -> str:
    return origin.name


def _below_class(origin: PurePosixPath, name: str) -> str:
    """The path of a file below the folder of a class; the whole path, if it is in no such one."""
    above = origin.parts[:-1]
    return "/".join(origin.parts[above.index(name) + 1 :]) if name in above else str(origin)


def _whole(origin: PurePosixPath, name: str) -> str:
    return str(origin)


def _linked(row: int, path: Path, target: Path) -> None:
    try:
        target.symlink_to(path)
    except OSError as error:
        raise FileError(
            f"cannot link to {path}: {error.strerror or error}; copy=True copies the images"
        ) from error


def _copied(sources: Sources) -> Callable[[int, Path, Path], None]:
    def put(row: int, path: Path, target: Path) -> None:
        target.write_bytes(sources.content(row, path))
        shutil.copystat(path, target)

    return put
