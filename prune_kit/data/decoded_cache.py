"""The cache of decoded images: memory-mapped files, so that a folder is decoded once.

    digests/<stamp>.npz     the digest of every file
    images/<content>.npy    the pixels (N, H, W, C)
    images/<content>.json   their shape and layout, written last

The stamp is a key over all paths, sizes and times, which takes little time to make. The content is
a key over all digests and the rule of decoding. A folder that was moved or touched has a new stamp:
its files are read again, but they are not decoded again.
"""

import hashlib
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8, UInt64

from prune_kit.data import decoding
from prune_kit.data.decoding import Layout
from prune_kit.errors import DataError, FileError
from prune_kit.progress import Listener, silent
from prune_kit.storage import files
from prune_kit.storage.paths import absolute, expanded

SETTING = "Set PRUNE_KIT_CACHE to a folder of yours"
ADVICE = "It is in the cache of decoded images; set PRUNE_KIT_CACHE to use another folder"


@dataclass(frozen=True, eq=False)
class Decoded:
    """Decoded images, memory-mapped.

    `digest` is that of each file's bytes. `preparation` says in words what was done to the images.
    """

    images: UInt8[np.ndarray, "N H W C"]
    digest: UInt64[np.ndarray, "N"]
    preparation: str


def cache_folder() -> Path:
    """The folder of the cache.

    Returns
    -------
    Path
        PRUNE_KIT_CACHE, or else `prune_kit` in XDG_CACHE_HOME or in ~/.cache, absolute.

    Raises
    ------
    FileError
        If there is no home folder, no current folder for a relative path, or links in a circle.
    """
    given = os.environ.get("PRUNE_KIT_CACHE")
    folder = given or f"{os.environ.get('XDG_CACHE_HOME') or '~/.cache'}/prune_kit"
    try:
        found = absolute(expanded(folder))
        found.resolve()
        return found
    except (FileError, OSError, RuntimeError) as error:  # the latter two of links in a circle
        where = f"PRUNE_KIT_CACHE={given}" if given else "the cache of decoded images has no place"
        raise FileError(f"{where}: {error}. {SETTING}") from error


def decoded(
    root: Path, paths: list[str], image_size: int | None, *, progress: Listener = silent
) -> Decoded:
    """The decoded images at some paths, from the cache, or decoded now.

    Parameters
    ----------
    root
        The folder that holds all the files.
    paths
        The files, in the order of the rows.
    image_size
        The side of the images in pixels, or None (`decoding.plan`).
    progress
        The listener of the progress.

    Returns
    -------
    Decoded
        The images.

    Raises
    ------
    DataError
        If a file is not an image, or changes meanwhile. The error names the file.
    FileError
        If the cache cannot be written.
    """
    cache = cache_folder()
    if cache.resolve().is_relative_to(root.resolve()):
        raise FileError(
            f"the cache {cache} would lie inside the data folder {root}; set PRUNE_KIT_CACHE to a "
            "folder outside"
        )
    stamp = _stamp(root, paths)
    known = _read_digests(cache, stamp, len(paths))
    digest = known
    shapes = None
    if digest is None:
        digest, shapes = decoding.inspect(paths, progress)
    content = _content_key(digest, image_size)
    cached = _read_images(cache, content, len(paths))
    try:
        if cached is None:
            if shapes is None:
                digest, shapes = decoding.inspect(paths, progress)
                content = _content_key(digest, image_size)
            layout = decoding.plan(shapes, paths, image_size)
            _write_images(cache, content, paths, layout, progress)
            cached = _read_images(cache, content, len(paths))
        if shapes is not None and _stamp(root, paths) != stamp:
            raise DataError(f"files in {root} have changed while they were read; start again")
        if known is None:
            files.write_arrays(cache / "digests" / f"{stamp}.npz", {"digest": digest})
    except FileError as error:
        raise FileError(f"{error}. {ADVICE}") from error
    if cached is None:
        path = _image_file(cache, content)
        raise FileError(f"{path} was written, but it cannot be read again. {ADVICE}")
    images, layout = cached
    return Decoded(images, digest, layout.preparation)


def _stamp(root: Path, paths: list[str]) -> str:
    """A key over the paths, sizes and times of the files.

    Every write changes it, also one that restores the time of modification.
    """
    key = hashlib.blake2b(str(root.resolve()).encode("utf-8", "surrogateescape"), digest_size=16)
    for path in paths:
        try:
            info = os.stat(path)  # noqa: PTH116  # 60,000 times
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}") from error
        relative = path[len(str(root)) :]
        line = f"{relative}\0{info.st_size}\0{info.st_mtime_ns}\0{info.st_ctime_ns}\n"
        key.update(line.encode("utf-8", "surrogateescape"))
    return key.hexdigest()


def _content_key(digest: UInt64[np.ndarray, "N"], image_size: int | None) -> str:
    rule = f"{decoding.RULE}, side {image_size}".encode()
    return hashlib.blake2b(digest.astype("<u8").tobytes() + rule, digest_size=16).hexdigest()


def _read_digests(cache: Path, stamp: str, count: int) -> UInt64[np.ndarray, "N"] | None:
    """The digests under a stamp; None if they are missing or damaged (the file has a checksum)."""
    path = cache / "digests" / f"{stamp}.npz"
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            digest: np.ndarray = arrays["digest"]
    except files.UNREADABLE_ARRAY:
        return None
    return digest if digest.dtype == np.uint64 and digest.shape == (count,) else None


def _image_file(cache: Path, content: str) -> Path:
    return cache / "images" / f"{content}.npy"


def _write_images(
    cache: Path, content: str, paths: list[str], layout: Layout, progress: Listener
) -> None:
    path = _image_file(cache, content)
    with files.replacing(path) as temporary:
        decoding.decode_into(temporary, paths, layout, progress)
    files.write_json(path.with_suffix(".json"), asdict(layout))


def _read_images(
    cache: Path, content: str, count: int
) -> tuple[UInt8[np.ndarray, "N H W C"], Layout] | None:
    """The images under a key, memory-mapped; None if they are missing or damaged."""
    path = _image_file(cache, content)
    try:
        layout = Layout(**files.read_json(path.with_suffix(".json")))
        images = _mapped(path)
        whole = path.stat().st_size == images.offset + images.nbytes
    except (FileError, OSError, ValueError, TypeError, EOFError):
        return None
    intact = whole and images.dtype == np.uint8 and images.shape == (count, *layout.shape)
    return (images, layout) if intact else None


def _mapped(path: Path) -> np.memmap:
    try:
        # Copy on write: torch requires writable arrays, and the file must not change.
        images = np.load(path, mmap_mode="c", allow_pickle=False)
    except OSError:  # the kernel refuses a writable map that is larger than its memory
        images = np.load(path, mmap_mode="r", allow_pickle=False)
    if not isinstance(images, np.memmap):
        raise ValueError(f"{path} is not an array file")
    return images
