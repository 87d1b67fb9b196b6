"""folder: a tree of image files, one folder per class, as torchvision's ImageFolder reads it."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from prune_kit.data.dataset import Dataset, from_arrays, outside_set
from prune_kit.data.decoded_cache import Decoded, Rule, decoded
from prune_kit.data.image_tree import Files, image_tree
from prune_kit.errors import DataError
from prune_kit.progress import Listener, silent

OPTIONS = {
    "image_size": {
        "type": "int",
        "default": None,
        "metavar": "PIXELS",
        "minimum": 1,
        "help": "Resize to this side; left out, 64 where sizes differ.",
    },
    "skip_bad": {
        "type": "bool",
        "default": False,
        "help": "Go on without unusable files.",
    },
    "exif": {
        "type": "str",
        "default": "apply",
        "choices": ("apply", "ignore"),
        "help": "Turn images upright as their EXIF data say, or leave them.",
    },
}


def load(
    location: str,
    *,
    progress: Listener = silent,
    image_size: int | None = None,
    skip_bad: bool = False,
    exif: str = "apply",
) -> Dataset:
    """Load the images of a folder.

    The classes and files are in torchvision's order (`data.image_tree`). An id is the path relative
    to the folder, and a digest is that of the file's bytes. Decoded images are cached
    (`data.decoded_cache`).

    Where all images are grey (Pillow modes 1, L, LA) they have one channel. Otherwise all have
    three. `data.image_files` says how a file is made into 8-bit grey or RGB.

    Images of one size keep it, unless `image_size` is another size. Otherwise the shorter side of
    each image is resized to `image_size` pixels, and the centre square is kept.

    Parameters
    ----------
    location
        The folder. It holds class folders, or `train/` with the class folders and possibly `test/`
        and `val/`.
    image_size
        The side of the images in pixels; 64 by default if their sizes differ.
    skip_bad
        Whether to go on without the files that cannot be used. The other rows are numbered as they
        are in the listing of the good files.
    exif
        "apply" turns images upright as their EXIF data say, "ignore" leaves them.
    progress
        The listener of the progress.

    Returns
    -------
    Dataset
        The images, memory-mapped. Without `test/` and `val/` a fifth of the rows is held out.

    Raises
    ------
    BadFilesError
        If files cannot be used, and `skip_bad` is False. It lists all of them.
    DataError
        If a folder is missing or unclear, or a class is empty or only in the test set.
    FileError
        If the cache cannot be written.
    """
    root = Path(location).absolute()
    tree = image_tree(root)
    parts = {"train": tree.train, "test": tree.test or [], "validation": tree.validation or []}
    listed = [path for files in parts.values() for path, _ in files]
    rule = Rule(image_size, exif, skip_bad)
    ids = _ids(root, listed)
    images = decoded(root, listed, rule, progress=progress)
    ids = np.array(ids, dtype=object)[images.good]
    label = _labels([file for files in parts.values() for file in files])[images.good]
    part_of = np.repeat(list(parts), [len(files) for files in parts.values()])[images.good]
    by_part = {name: _part(images, label, ids, part_of == name) for name in parts}
    test = {f"test_{key}": value for key, value in by_part["test"].items()} if tree.test else {}
    name = f"folder:{root.name}"
    data = from_arrays(
        name=name,
        spec=f"folder:{location}",
        class_names=tree.class_names,
        preparation=images.preparation,
        **by_part["train"],
        **test,
    )
    validation = (
        outside_set(**by_part["validation"], classes=data.classes, name=f"{name}, validation set")
        if tree.validation
        else None
    )
    return replace(data, validation=validation, notes=(*tree.notes, *images.notes))


def _part(images: Decoded, label: np.ndarray, ids: np.ndarray, rows: np.ndarray) -> dict[str, Any]:
    """The arrays of consecutive rows, as views: the images stay in their file."""
    first, count = int(rows.argmax()), int(rows.sum())
    where = slice(first, first + count)
    return {
        "images": images.images[where],
        "label": label[where],
        "ids": list(ids[where]),
        "digest": images.digest[where],
    }


def _ids(root: Path, paths: list[str]) -> list[str]:
    ids = [path[len(str(root)) :].replace(os.sep, "/").lstrip("/") for path in paths]
    try:
        "".join(ids).encode("utf-8")
    except UnicodeEncodeError as error:
        wrong = next(
            text for text in ids if text != text.encode("utf-8", "replace").decode("utf-8")
        )
        raise DataError(
            f"the name of the file {wrong!r} in {root} is not UTF-8 text; rename it"
        ) from error
    return ids


def _labels(files: Files) -> np.ndarray:
    return np.array([number for _, number in files], dtype=np.int64)
