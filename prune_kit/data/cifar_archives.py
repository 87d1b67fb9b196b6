"""The files of CIFAR-10 and CIFAR-100: the Python archives and the binary ones.

They are read from folders or from .tar.gz archives. Nothing is extracted to the disk, and pickled
code is never run. Format: https://www.cs.toronto.edu/~kriz/cifar.html.
"""

import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Int, UInt8

from prune_kit.data.dataset import Dataset, from_arrays
from prune_kit.data.plain_pickle import read_plain_pickle
from prune_kit.errors import DataError

SIDE = 32
CHANNELS = 3
PIXEL_BYTES = SIDE * SIDE * CHANNELS
LARGEST_MEMBER = 1 << 29  # bytes; the largest real one, CIFAR-100's `train`, has 155 MB


@dataclass(frozen=True)
class Form:
    """One form in which a CIFAR set is published: its folder, its archive, its files in order.

    In a Python form, `names_key` is the entry of the meta file that holds the class names, and
    `label_key` the entry that holds the labels. In a binary form, `label_bytes` stand before each
    image, and the last of them is the label.
    """

    folder: str
    archive: str
    train: tuple[str, ...]
    test: str
    names: str
    names_key: str = ""
    label_key: str = ""
    label_bytes: int = 0

    @property
    def files(self) -> tuple[str, ...]:
        """The names of all files. The last one holds the class names."""
        return (*self.train, self.test, self.names)


def load_cifar(location: str, forms: tuple[Form, ...], *, name: str) -> Dataset:
    """Load a CIFAR set. The rows are in the order of the original files.

    Parameters
    ----------
    location
        A folder or a .tar.gz archive.
    forms
        The forms in which the set is published. The first one that is found is read.
    name
        The name of the source.

    Returns
    -------
    Dataset
        The data set, with its own test set.

    Raises
    ------
    DataError
        If a file is missing, damaged, or names code to run. The error names the file.
    """
    form, where, contents = _find(Path(location), forms, name)
    missing = [file for file in form.files if file not in contents]
    if missing:
        raise DataError(
            f"{where} lacks {', '.join(missing)}; {name} needs the files {', '.join(form.files)}"
        )
    batches = [_read(form, contents.pop(file), where / file) for file in form.train]
    for file, (images, _) in zip(form.train, batches, strict=True):
        if len(images) != len(batches[0][0]):
            first = f"{form.train[0]} holds {len(batches[0][0]):,}"
            raise DataError(
                f"{where / file} holds {len(images):,} images, but {first}. Fetch the shorter "
                "one again"
            )
    test_images, test_label = _read(form, contents.pop(form.test), where / form.test)
    return from_arrays(
        np.concatenate([images for images, _ in batches]),
        np.concatenate([label for _, label in batches]),
        name=name,
        spec=f"{name}:{location}",
        class_names=_class_names(form, contents[form.names], where / form.names),
        test_images=test_images,
        test_label=test_label,
    )


def _find(given: Path, forms: tuple[Form, ...], name: str) -> tuple[Form, Path, dict[str, bytes]]:
    """The form that is found, where it is, and the contents of its files by name."""
    if given.is_file():
        contents = _read_tar(given, {file for form in forms for file in form.files})
        matching = [form for form in forms if form.test in contents or form.train[0] in contents]
        return [*matching, forms[0]][0], given, contents
    if not given.is_dir():
        raise DataError(f"the folder or archive {given} does not exist; {_looked_for(forms)}")
    for form in forms:
        for folder in (given, given / form.folder):
            if (folder / form.train[0]).is_file() or (folder / form.test).is_file():
                return form, folder, _read_folder(folder, form)
    for form in forms:
        if (given / form.archive).is_file():
            return form, given / form.archive, _read_tar(given / form.archive, set(form.files))
    raise DataError(f"{given} does not hold {name}; {_looked_for(forms)}")


def _looked_for(forms: tuple[Form, ...]) -> str:
    wanted = "; or ".join(
        f"{form.archive}, or {form.folder}/ with {', '.join(form.files)}" for form in forms
    )
    return f"looked for {wanted}"


def _read_folder(folder: Path, form: Form) -> dict[str, bytes]:
    try:
        return {
            file: (folder / file).read_bytes() for file in form.files if (folder / file).is_file()
        }
    except OSError as error:
        raise DataError(f"{error.filename or folder} cannot be read: {error.strerror}") from error


def _read_tar(archive: Path, wanted: set[str]) -> dict[str, bytes]:
    """The contents of the wanted members by their file name, read in one pass."""
    contents = {}
    try:
        with tarfile.open(archive, "r:*") as tar:
            for member in tar:
                file = PurePosixPath(member.name).name
                if file not in wanted or not member.isfile():
                    continue
                if member.size > LARGEST_MEMBER:
                    raise DataError(
                        f"{archive}: {member.name} has {member.size:,} bytes; CIFAR files "
                        f"have at most {LARGEST_MEMBER:,}"
                    )
                stream = tar.extractfile(member)
                contents[file] = stream.read() if stream else b""
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise DataError(
            f"{archive} is not a whole .tar.gz (damaged or truncated?): {error}. Fetch it again"
        ) from error
    return contents


def _read(
    form: Form, content: bytes, where: Path
) -> tuple[UInt8[np.ndarray, "N 32 32 3"], Int[np.ndarray, "N"]]:
    """The images and labels of one file. Both forms store an image as three planes of 32 x 32."""
    if form.label_bytes:
        record = form.label_bytes + PIXEL_BYTES
        if not content or len(content) % record:
            raise DataError(
                f"{where} has {len(content):,} bytes, not a multiple of {record:,} (truncated?). "
                "Fetch it again"
            )
        records = np.frombuffer(content, np.uint8).reshape(-1, record)
        planes = records[:, form.label_bytes :]
        label = records[:, form.label_bytes - 1].astype(np.int64)
    else:
        planes, label = _read_python(form, content, where)
    images = planes.reshape(-1, CHANNELS, SIDE, SIDE).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), label


def _read_python(
    form: Form, content: bytes, where: Path
) -> tuple[UInt8[np.ndarray, "N 3072"], Int[np.ndarray, "N"]]:
    entries = read_plain_pickle(content, str(where))
    missing = [key for key in ("data", form.label_key) if key not in entries]
    if missing:
        raise DataError(
            f"{where} does not have the entry {missing[0]!r}; it has: {', '.join(sorted(entries))}"
        )
    planes = entries["data"]
    label = entries[form.label_key]
    expected = f"uint8 (N, {PIXEL_BYTES})"
    if not isinstance(planes, np.ndarray):
        kind = type(planes).__name__
        raise DataError(f"{where}: the entry 'data' is {kind}; expected {expected}")
    if planes.dtype != np.uint8 or planes.shape[1:] != (PIXEL_BYTES,):
        kind = f"{planes.dtype} {planes.shape}"
        raise DataError(f"{where}: the entry 'data' is {kind}; expected {expected}")
    if (
        not isinstance(label, list)
        or len(label) != len(planes)
        or not all(isinstance(value, int) for value in label)
    ):
        raise DataError(
            f"{where}: the entry {form.label_key!r} is not a list of {len(planes):,} integers, one "
            "per image"
        )
    return planes, np.array(label, dtype=np.int64)


def _class_names(form: Form, content: bytes, where: Path) -> tuple[str, ...]:
    if form.names_key:
        names = read_plain_pickle(content, str(where)).get(form.names_key)
        if not isinstance(names, list) or not names:
            raise DataError(f"{where} does not have a list {form.names_key!r} of class names")
        return tuple(
            name.decode("utf-8") if isinstance(name, bytes) else str(name) for name in names
        )
    names = content.decode("utf-8", "replace").split()
    if not names:
        raise DataError(f"{where} does not hold a class name")
    return tuple(names)
