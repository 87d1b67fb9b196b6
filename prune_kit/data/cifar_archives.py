"""The CIFAR files: the python archives and the binary ones, unpacked or as .tar.gz, read into memory.

Format: https://www.cs.toronto.edu/~kriz/cifar.html. Nothing is extracted to the disk, and no
pickled code is run.
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

SIDE, CHANNELS = 32, 3
PIXEL_BYTES = SIDE * SIDE * CHANNELS
LARGEST_MEMBER = 1 << 29  # bytes; the largest real one, CIFAR-100's `train`, has 155 MB


@dataclass(frozen=True)
class Form:
    """One form in which a CIFAR set is published: its folder, its archive, its files in order.

    `names_key` is the entry of a python meta file with the class names, `label_key` the entry with
    the labels; a binary form has neither, but `label_bytes` before each image, the last of which is
    the label.
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
        """All file names, the class names' last."""
        return (*self.train, self.test, self.names)


def load_cifar(location: str, forms: tuple[Form, ...], *, name: str) -> Dataset:
    """The data set in `location`, a folder or a .tar.gz, in whichever of the `forms` it is there.

    The rows stand in the order of the original files. Raises DataError, which names the file, when
    one is missing, damaged, or names code to run.
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
                f"{where / file} holds {len(images):,} images, but {first}. Fetch the one that is "
                "cut short"
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
    """The form that is there, where it is, and the contents of its files by name."""
    if given.is_file():
        contents = _read_tar(given, {file for form in forms for file in form.files})
        form = next(
            (form for form in forms if form.test in contents or form.train[0] in contents), forms[0]
        )
        return form, given, contents
    if not given.is_dir():
        raise DataError(f"there is no folder or archive {given}; {_looked_for(forms, name)}")
    for form in forms:
        for folder in (given, given / form.folder):
            if (folder / form.train[0]).is_file() or (folder / form.test).is_file():
                return form, folder, _read_folder(folder, form)
    for form in forms:
        if (given / form.archive).is_file():
            return form, given / form.archive, _read_tar(given / form.archive, set(form.files))
    raise DataError(f"{given} holds no {name}; {_looked_for(forms, name)}")


def _looked_for(forms: tuple[Form, ...], name: str) -> str:
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
    """The wanted members by their last name, read in one pass."""
    contents = {}
    try:
        with tarfile.open(archive, "r:*") as tar:
            for member in tar:
                file = PurePosixPath(member.name).name
                if file not in wanted or not member.isfile():
                    continue
                if member.size > LARGEST_MEMBER:
                    raise DataError(
                        f"{archive}: {member.name} has {member.size:,} bytes; no CIFAR file is so "
                        "large"
                    )
                stream = tar.extractfile(member)
                contents[file] = stream.read() if stream else b""
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise DataError(
            f"{archive} is no whole .tar.gz (damaged or truncated?): {error}. Fetch it again"
        ) from error
    return contents


def _read(
    form: Form, content: bytes, where: Path
) -> tuple[UInt8[np.ndarray, "N 32 32 3"], Int[np.ndarray, "N"]]:
    """The images and labels of one file; both forms store an image as three planes of 32 x 32."""
    if form.label_bytes:
        record = form.label_bytes + PIXEL_BYTES
        if not content or len(content) % record:
            raise DataError(
                f"{where} has {len(content):,} bytes, not a multiple of {record:,} (truncated?). "
                "Fetch it again"
            )
        records = np.frombuffer(content, np.uint8).reshape(-1, record)
        planes, label = (
            records[:, form.label_bytes :],
            records[:, form.label_bytes - 1].astype(np.int64),
        )
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
            f"{where} has no entry {missing[0]!r}; it has: {', '.join(sorted(entries))}"
        )
    planes, label = entries["data"], entries[form.label_key]
    if (
        not isinstance(planes, np.ndarray)
        or planes.dtype != np.uint8
        or planes.shape[1:] != (PIXEL_BYTES,)
    ):
        found = (
            f"{planes.dtype} {planes.shape}"
            if isinstance(planes, np.ndarray)
            else type(planes).__name__
        )
        raise DataError(f"{where}: the entry 'data' is {found}; expected uint8 (N, {PIXEL_BYTES})")
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
            raise DataError(f"{where} has no list {form.names_key!r} of class names")
        return tuple(
            name.decode("utf-8") if isinstance(name, bytes) else str(name) for name in names
        )
    names = content.decode("utf-8", "replace").split()
    if not names:
        raise DataError(f"{where} holds no class name")
    return tuple(names)
