"""folder: a tree of image files, one folder per class, as torchvision's ImageFolder reads it."""

import os
from collections import Counter
from pathlib import Path

import numpy as np

from prune_kit.data.dataset import Dataset, from_arrays
from prune_kit.data.decoded_cache import decoded
from prune_kit.errors import DataError
from prune_kit.progress import Listener, silent

TRAIN = "train"
TESTS = ("test", "val")

Files = list[tuple[str, int]]  # path and class, in torchvision's order


def load(location: str, *, image_size: int | None = None, progress: Listener = silent) -> Dataset:
    """Load the images of a folder.

    The classes and files are in torchvision's order, and files that torchvision ignores are
    ignored. An id is the path relative to the folder, and a digest is that of the file's bytes.
    Decoded images are cached (`decoded_cache`).

    Grey images (Pillow modes 1, L, LA) have one channel. All other images of 8 bits (RGB, RGBA, P,
    CMYK, ...) have three. Palettes are looked up, transparency is dropped, EXIF orientation is not
    applied, and the first of several frames is used. 16-bit and floating-point images are refused.

    Images of one size keep it, unless `image_size` is another size. Otherwise the shorter side of
    each image is resized to `image_size` pixels, and the centre square is kept.

    Parameters
    ----------
    location
        The folder. It holds class folders, or `train/` with the class folders and possibly `test/`
        or `val/`.
    image_size
        The side of the images in pixels; 64 by default if their sizes differ.
    progress
        The listener of the progress.

    Returns
    -------
    Dataset
        The images, memory-mapped. Without `test/` and `val/` a fifth of the rows is held out.

    Raises
    ------
    DataError
        If a folder is missing, a class is empty or only in the test set, a file is not a whole
        image, or images differ in channels. The error names it.
    FileError
        If the cache cannot be written.
    """
    root = Path(location).absolute()
    train, test = _splits(root)
    class_names, train_files = _train_files(train)
    test_files = _test_files(test, class_names, train) if test else []
    listed = [path for path, _ in train_files + test_files]
    ids = _ids(root, listed)
    everything = decoded(root, listed, image_size, progress=progress)
    n = len(train_files)
    return from_arrays(
        everything.images[:n],
        _labels(train_files),
        name=f"folder:{root.name}",
        spec=f"folder:{location}",
        class_names=class_names,
        ids=ids[:n],
        digest=everything.digest[:n],
        test_images=everything.images[n:] if test else None,
        test_label=_labels(test_files) if test else None,
        test_ids=ids[n:] if test else None,
        test_digest=everything.digest[n:] if test else None,
        preparation=everything.preparation,
    )


def _splits(root: Path) -> tuple[Path, Path | None]:
    """The folders of the training and the test classes. A class may be called "train", too."""
    folders = _folders(root)
    if TRAIN in folders and _folders(root / TRAIN):
        return root / TRAIN, next((root / name for name in TESTS if name in folders), None)
    if folders and folders <= {TRAIN, *TESTS}:
        raise DataError(
            f"{root} holds {', '.join(sorted(folders))}, but train lacks class folders; expected "
            "train/CLASS/FILE"
        )
    return root, None


def _folders(folder: Path) -> set[str]:
    try:
        return {entry.name for entry in os.scandir(folder) if entry.is_dir()}
    except OSError as error:
        raise DataError(f"cannot read the folder {folder}: {error.strerror}") from error


def _train_files(folder: Path) -> tuple[tuple[str, ...], Files]:
    from torchvision.datasets.folder import IMG_EXTENSIONS, find_classes, make_dataset

    names = tuple(sorted(_folders(folder)))
    if len(names) < 2:
        classes = f"holds one class only ({names[0]!r})" if names else "lacks class folders"
        raise DataError(f"{folder} {classes}; expected one folder per class, at least two")
    class_numbers = find_classes(folder)[1]
    listed: Files = make_dataset(folder, class_numbers, IMG_EXTENSIONS, allow_empty=True)
    counts = Counter(number for _, number in listed)
    empty = [name for name, number in class_numbers.items() if not counts[number]]
    if empty:
        raise DataError(
            f"class {empty[0]!r} is empty: {folder / empty[0]} lacks image files "
            f"({', '.join(IMG_EXTENSIONS)}); add some, or remove the folder"
        )
    return tuple(class_numbers), listed


def _test_files(folder: Path, class_names: tuple[str, ...], train: Path) -> Files:
    from torchvision.datasets.folder import IMG_EXTENSIONS, make_dataset

    class_numbers = {name: number for number, name in enumerate(class_names)}
    unknown = sorted(_folders(folder) - set(class_numbers))
    if unknown:
        raise DataError(
            f"{folder} has a class {unknown[0]!r} that {train} lacks; the training classes are: "
            f"{_few(class_names)}"
        )
    listed: Files = make_dataset(folder, class_numbers, IMG_EXTENSIONS, allow_empty=True)
    if not listed:
        raise DataError(
            f"{folder} is empty; add images, or remove it to have a fifth of the rows held out "
            "as test"
        )
    return listed


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


def _few(names: tuple[str, ...], most: int = 20) -> str:
    return ", ".join(names[:most]) + (f", ... ({len(names)} in all)" if len(names) > most else "")


def _labels(listed: Files) -> np.ndarray:
    return np.array([number for _, number in listed], dtype=np.int64)
