"""The IDX format of MNIST and its kin: a magic number, the dimensions, then the bytes; plain or gzip.

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

GZIP, UNSIGNED_BYTE = b"\x1f\x8b", 8
FILES = {
    "test_images": ("t10k-images", 3),
    "test_labels": ("t10k-labels", 1),
    "train_images": ("train-images", 3),
    "train_labels": ("train-labels", 1),
}


def load_idx(location: str, *, name: str, kept_in: str, class_names: tuple[str, ...]) -> Dataset:
    """The data set whose four IDX files lie in `location`, or in `raw` or `kept_in`/raw in it, as torchvision has them.

    The rows stand in the order of the files. Raises DataError, which names the file, when one is
    missing or damaged.
    """
    given = Path(location)
    if not given.is_dir():
        raise DataError(
            f"there is no folder {given}; {name} needs one that holds the files {_wanted()}"
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
        looked = "" if folder != given else f" (looked there, in raw and in {kept_in}/raw)"
        raise DataError(f"{where}{looked}; {name} needs the files {_wanted()}")
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
    """The bytes of one IDX file as an array of `dimensions` dimensions; gzip is known by its content, not by the name.

    Raises DataError when the file is no IDX file of bytes, has other dimensions, or is not as long
    as it says.
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
            f"{path} says that it holds {' x '.join(map(str, shape))} bytes, and holds "
            f"{len(content) - start:,} (truncated or damaged?). Fetch it again"
        )
    return (
        np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy()
    )  # a copy, because torch wants it writable


def _find(folder: Path, stem: str, dimensions: int) -> Path | None:
    names = [f"{stem}{dot}idx{dimensions}-ubyte{end}" for dot in "-." for end in ("", ".gz")]
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _file_name(stem: str, dimensions: int) -> str:
    return f"{stem}-idx{dimensions}-ubyte[.gz]"


def _wanted() -> str:
    return ", ".join(_file_name(*file) for file in FILES.values())
