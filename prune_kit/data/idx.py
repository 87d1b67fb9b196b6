"""The IDX format of MNIST: a magic number, the dimensions, and the bytes, plain or gzip.

Format: http://yann.lecun.com/exdb/mnist/, "FILE FORMATS FOR THE MNIST DATABASE".
"""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from prune_kit.data.dataset import Dataset, from_arrays
from prune_kit.errors import DataError

GZIP = b"\x1f\x8b"
UNSIGNED_BYTE = 8
FILES = {
    "test_images": ("t10k-images", 3),
    "test_labels": ("t10k-labels", 1),
    "train_images": ("train-images", 3),
    "train_labels": ("train-labels", 1),
}


def load_idx(location: str, *, name: str, kept_in: str, class_names: tuple[str, ...]) -> Dataset:
    """Load the data set of four IDX files. The rows are in the order of the files.

    Parameters
    ----------
    location
        The folder of the files. They may also be in its `raw`, or in `kept_in`/raw, where
        torchvision keeps them.
    name
        The name of the source.
    kept_in
        The name of torchvision's folder.
    class_names
        The names of the classes.

    Returns
    -------
    Dataset
        The data set, with its own test set.

    Raises
    ------
    DataError
        If a file is missing or damaged. The error names the file.
    """
    given = Path(location)
    if not given.is_dir():
        raise DataError(
            f"the folder {given} does not exist; {name} needs a folder with the files {_wanted()}"
        )
    folders = [given, given / "raw", given / kept_in / "raw"]
    folder = next(
        (folder for folder in folders if any(_find(folder, *file) for file in FILES.values())),
        given,
    )
    paths = {part: _find(folder, *file) for part, file in FILES.items()}
    arrays = {part: read_idx(path, FILES[part][1]) for part, path in paths.items() if path}
    if len(arrays) < len(FILES):
        missing = [_file_name(*FILES[part]) for part, path in paths.items() if path is None]
        where = f"{folder} lacks {', '.join(missing)}"
        searched = "" if folder != given else f" (raw and {kept_in}/raw were searched, too)"
        raise DataError(f"{where}{searched}; {name} needs the files {_wanted()}")
    return from_arrays(
        arrays["train_images"],
        arrays["train_labels"],
        name=name,
        spec=f"{name}:{location}",
        class_names=class_names,
        test_images=arrays["test_images"],
        test_label=arrays["test_labels"],
    )


def read_idx(path: Path, dimensions: int) -> UInt8[np.ndarray, "..."]:
    """Read an IDX file of bytes. Gzip is recognised by the content, not by the name.

    Parameters
    ----------
    path
        The file.
    dimensions
        The expected number of dimensions.

    Returns
    -------
    uint8 array
        The bytes, writable.

    Raises
    ------
    DataError
        If the file is not an IDX file of bytes, has another number of dimensions, or is damaged.
    """
    try:
        content = path.read_bytes()
        if content.startswith(GZIP):
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{path} cannot be read (damaged or truncated?): {error}. Fetch it again"
        ) from error
    magic = bytes([0, 0, UNSIGNED_BYTE, dimensions])
    start = 4 + 4 * dimensions
    if len(content) < start or not content.startswith(magic):
        raise DataError(
            f"{path} begins with {content[:4].hex() or 'nothing'}; expected {magic.hex()}, the IDX "
            "magic number"
        )
    shape = struct.unpack(f">{dimensions}I", content[4:start])
    if len(content) - start != math.prod(shape):
        raise DataError(
            f"{path} says that it holds {' x '.join(map(str, shape))} bytes, but it holds "
            f"{len(content) - start:,} (truncated or damaged?). Fetch it again"
        )
    # A copy, because torch requires writable arrays.
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy()


def _find(folder: Path, stem: str, dimensions: int) -> Path | None:
    names = [f"{stem}{dot}idx{dimensions}-ubyte{end}" for dot in "-." for end in ("", ".gz")]
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _file_name(stem: str, dimensions: int) -> str:
    return f"{stem}-idx{dimensions}-ubyte[.gz]"


def _wanted() -> str:
    return ", ".join(_file_name(*file) for file in FILES.values())
