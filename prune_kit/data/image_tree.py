"""A tree of image files: its classes, and which of its folders hold the test set.

Classes and files are in the order of torchvision's ImageFolder. Split folders may be called train
or training; val, valid, validation or dev; test, testing, eval or evaluation, in any case. They
stand above the class folders, or in every one of them. What can be read in two ways is refused.
"""

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from prune_kit.data.image_files import ENDINGS
from prune_kit.errors import DataError

SPLITS = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
MOST_NAMES = 20

Files = list[tuple[str, int]]  # path and class


@dataclass(frozen=True)
class ImageTree:
    """The files of a tree, which nobody has opened yet.

    Attributes
    ----------
    class_names : tuple of str
        The C classes.
    train, test, validation : list of (str, int)
        Path and class of each file. `test` and `validation` are None where there is none; a
        validation set without a test set is the test set.
    notes : tuple of str
        What was passed over, and how split folders were understood.
    """

    class_names: tuple[str, ...]
    train: Files
    test: Files | None = None
    validation: Files | None = None
    notes: tuple[str, ...] = ()


def image_tree(root: Path) -> ImageTree:
    """List the image files of a folder.

    Parameters
    ----------
    root
        The folder, absolute.

    Returns
    -------
    ImageTree
        The files.

    Raises
    ------
    DataError
        If a folder cannot be read, a class is empty or only in the test set, or the folders can be
        understood in two ways.
    """
    folders = _folders(root)
    splits = _by_split(folders, root)
    others = [name for name in folders if split_of(name) is None]
    if "train" in splits and _folders(root / splits["train"]):
        _check_siblings(root, splits, others)
        return _split_above(root, splits, others)
    if folders and not others:
        lacks = (
            f"but {splits['train']} lacks class folders"
            if "train" in splits
            else "but no folder of the training images"
        )
        raise DataError(f"{root} holds {', '.join(folders)}, {lacks}; expected train/CLASS/FILE")
    if len(folders) < 2:
        classes = f"holds one class only ({folders[0]!r})" if folders else "lacks class folders"
        raise DataError(f"{root} {classes}; expected one folder per class, at least two")
    return _split_inside(root, folders) or _tree(
        {name: [root / name] for name in folders}, {}, root
    )


def split_of(name: str) -> str | None:
    """The split that a folder's name stands for: a key of SPLITS, or None."""
    return next((split for split, names in SPLITS.items() if name.casefold() in names), None)


def _by_split(folders: Iterable[str], where: Path) -> dict[str, str]:
    """The folder of each split. Raises DataError where two folders stand for the same one."""
    splits: dict[str, str] = {}
    for name in folders:
        split = split_of(name)
        if split in splits:
            raise DataError(
                f"{where} holds {splits[split]} and {name}, and both may be the {split} images; "
                "rename or remove one"
            )
        if split is not None:
            splits[split] = name
    return splits


def _check_siblings(root: Path, splits: dict[str, str], others: list[str]) -> None:
    """Raise DataError where a class may be called train, with folders of images beside it."""
    if len(splits) == 1 and any(_walk(root / name, root)[0] for name in others):
        raise DataError(
            f"{root} holds {splits['train']} with class folders in it, and beside it images in "
            f"{_few(others)}: is {splits['train']} a class, or all the training images? Give "
            f"data='folder:{root / splits['train']}' for the images in it, or move it"
        )


def _split_above(root: Path, splits: dict[str, str], others: list[str]) -> ImageTree:
    train = root / splits["train"]
    names = _folders(train)
    if len(names) < 2:
        raise DataError(
            f"{train} holds one class only ({names[0]!r}); expected one folder per class, at least "
            "two"
        )
    held: dict[str, dict[str, list[Path]]] = {}
    for split in ("validation", "test"):
        if split in splits:
            folder = root / splits[split]
            unknown = [name for name in _folders(folder) if name not in names]
            if unknown:
                raise DataError(
                    f"{folder} has a class {unknown[0]!r} that {train} lacks; the training classes "
                    f"are: {_few(names)}"
                )
            present = [name for name in names if (folder / name).is_dir()]
            held[split] = {name: [folder / name] for name in present}
    notes = [f"passed over beside {splits['train']}: {_few(others)}"] if others else []
    return _tree({name: [train / name] for name in names}, held, root, notes, splits)


def _split_inside(root: Path, names: list[str]) -> ImageTree | None:
    """The tree where every class has its own split folders; None where no class has."""
    inside = {name: _folders(root / name) for name in names}
    splits = {name: _by_split(found, root / name) for name, found in inside.items()}
    if not any(len(found) > 1 and "train" in found for found in splits.values()):
        return None
    for name in names:
        loose = [other for other in inside[name] if split_of(other) is None] or _walk(
            root / name, root, deep=False
        )[0]
        if loose or "train" not in splits[name]:
            lacks = "images outside of them" if loose else "no folder of training images"
            raise DataError(
                f"some classes of {root} hold split folders such as train and test, but "
                f"{name!r} has {lacks}; make all classes alike, or put the splits above: "
                "train/CLASS/FILE"
            )
    parts: dict[str, dict[str, list[Path]]] = {split: {} for split in SPLITS}
    for name, found in splits.items():
        for split, folder in found.items():
            parts[split][name] = [root / name / folder]
    held = {split: folders for split, folders in parts.items() if folders and split != "train"}
    any_of = {split: next(iter(folders.values()))[0].name for split, folders in held.items()}
    return _tree(parts["train"], held, root, ["split folders stand in every class"], any_of)


def _tree(
    train: dict[str, list[Path]],
    held: dict[str, dict[str, list[Path]]],
    root: Path,
    notes: Iterable[str] = (),
    called: Mapping[str, str] = MappingProxyType({}),
) -> ImageTree:
    """The tree of these class folders. Raises DataError for a class or a set without an image."""
    names = tuple(train)
    said = list(notes)
    passed: Counter[str] = Counter()

    def listed(folders: dict[str, list[Path]]) -> Files:
        found: Files = []
        for number, name in enumerate(names):
            for folder in folders.get(name, []):
                paths, loops, others = _walk(folder, root)
                found += [(path, number) for path in paths]
                passed.update(others)
                said.extend(f"{loop} is a link to a folder above it: passed over" for loop in loops)
        return found

    files = {"train": listed(train), **{split: listed(folders) for split, folders in held.items()}}
    counts = Counter(number for _, number in files["train"])
    empty = [name for number, name in enumerate(names) if not counts[number]]
    if empty:
        raise DataError(
            f"class {empty[0]!r} is empty: {train[empty[0]][0]} lacks image files "
            f"({', '.join(ENDINGS)}); add some, or remove the folder"
        )
    for split in held:
        if not files[split]:
            raise DataError(f"{root}: {called[split]} is empty; add images, or remove it")
    if passed:
        kinds = ", ".join(f"{count:,} {ending}" for ending, count in passed.most_common(5))
        said.append(f"files that are no images by their ending are passed over: {kinds}")
    test, validation = files.get("test"), files.get("validation")
    if test is not None and validation is not None:
        said.append(
            f"{called['test']} is the test set; {called['validation']} is what `tune` validates on"
        )
    elif validation is not None:
        test, validation = validation, None
        said.append(f"{called['validation']} is the test set")
    return ImageTree(names, files["train"], test, validation, tuple(said))


def _folders(folder: Path) -> list[str]:
    """The folders in a folder, sorted, without hidden ones and what macOS leaves behind."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if _counts(entry) and _is_folder(entry))
    except OSError as error:
        raise DataError(f"cannot read the folder {folder}: {error.strerror}") from error


def _walk(folder: Path, root: Path, *, deep: bool = True) -> tuple[list[str], list[str], list[str]]:
    """The image files under a folder in torchvision's order, links that loop, and other endings.

    A link to a folder that it lies in would be followed for ever.
    """
    above = frozenset(_identity(path) for path in (root, *root.parents))
    found: list[tuple[str, list[str]]] = []
    loops: list[str] = []
    others: list[str] = []
    left = [(str(folder), above)]
    while left:
        place, passed = left.pop()
        identity = _identity(Path(place))
        if identity in passed:
            loops.append(place)
            continue
        names = []
        try:
            with os.scandir(place) as entries:
                for entry in filter(_counts, entries):
                    if _is_folder(entry):
                        left += [(entry.path, passed | {identity})] if deep else []
                    elif entry.name.lower().endswith(ENDINGS):
                        names.append(entry.name)
                    elif entry.name not in LEFT_BEHIND:
                        others.append(Path(entry.name).suffix.lower() or "without an ending")
        except OSError as error:
            raise DataError(f"cannot read the folder {place}: {error.strerror}") from error
        found.append((place, sorted(names)))
    paths = [os.path.join(place, name) for place, names in sorted(found) for name in names]  # noqa: PTH118
    return paths, sorted(loops), others


LEFT_BEHIND = (".DS_Store", "Thumbs.db", "desktop.ini")  # by the file managers of macOS and Windows


def _counts(entry: "os.DirEntry[str]") -> bool:
    """Whether an entry may be a class or an image: not hidden, and not left behind by macOS."""
    if entry.name.startswith("._") or entry.name == "__MACOSX":
        return False
    return not (entry.name.startswith(".") and _is_folder(entry))


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself: it counts as a file, which cannot be read
        return False


def _identity(path: Path) -> tuple[int, int]:
    try:
        info = path.stat()
    except OSError as error:
        raise DataError(f"cannot read the folder {path}: {error.strerror}") from error
    return info.st_dev, info.st_ino


def _few(names: Iterable[str]) -> str:
    names = list(names)
    more = f", ... ({len(names)} in all)" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more
