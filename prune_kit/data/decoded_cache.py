"""Decoded images as memory-mapped files, so that the second start decodes nothing.

    digests/<stamp>.npz     the digest of every file, under a key over all paths, sizes and times (a quick look)
    images/<content>.npy    the pixels (N, H, W, C), under a key over all digests and the rule of decoding
    images/<content>.json   their shape and layout, written last

A folder that was moved or touched has a new stamp: its files are read again, but not decoded again.
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

ADVICE = "It lies in the cache of decoded images; PRUNE_KIT_CACHE names another folder for it"


@dataclass(frozen=True, eq=False)
class Decoded:
    """Images (N, H, W, C), memory-mapped; the digest of each file's bytes; what was done to the images, in words."""

    images: UInt8[np.ndarray, "N H W C"]
    digest: UInt64[np.ndarray, "N"]
    preparation: str


def cache_folder() -> Path:
    """PRUNE_KIT_CACHE, else `prune_kit` in XDG_CACHE_HOME or ~/.cache."""
    if given := os.environ.get("PRUNE_KIT_CACHE"):
        return Path(given).expanduser().absolute()
    return (
        Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser().absolute() / "prune_kit"
    )


def decoded(
    root: Path, paths: list[str], image_size: int | None, *, progress: Listener = silent
) -> Decoded:
    """The images at `paths`, all under `root`, in that order; decoded now, or before.

    Raises DataError, which names the file, for one that is no image; FileError when the cache
    cannot be written.
    """
    cache = cache_folder()
    if cache.resolve().is_relative_to(root.resolve()):
        raise FileError(
            f"the cache {cache} would lie inside the data folder {root}; set PRUNE_KIT_CACHE to a "
            "place outside"
        )
    stamp = _stamp(root, paths)
    known = digest = _read_digests(cache, stamp, len(paths))
    shapes = None
    if digest is None:
        digest, shapes = decoding.inspect(paths, progress)
    content = _content_key(digest, image_size)
    found = _read_images(cache, content, len(paths))
    try:
        if found is None:
            if shapes is None:
                digest, shapes = decoding.inspect(paths, progress)
                content = _content_key(digest, image_size)
            layout = decoding.plan(shapes, paths, image_size)
            _write_images(cache, content, paths, layout, progress)
            found = _read_images(cache, content, len(paths))
        if shapes is not None and _stamp(root, paths) != stamp:
            raise DataError(f"files in {root} have changed while they were read; run it again")
        if known is None:
            files.write_arrays(cache / "digests" / f"{stamp}.npz", {"digest": digest})
    except FileError as error:
        raise FileError(f"{error}. {ADVICE}") from error
    if found is None:
        raise FileError(
            f"{_image_file(cache, content)} was written, but cannot be read again. {ADVICE}"
        )
    images, layout = found
    return Decoded(images, digest, layout.preparation)


def _stamp(root: Path, paths: list[str]) -> str:
    """A key over where the files are, their sizes and times; any write, even one that restores the time, changes it."""
    key = hashlib.blake2b(str(root.resolve()).encode("utf-8", "surrogateescape"), digest_size=16)
    for path in paths:
        try:
            found = os.stat(path)  # noqa: PTH116  # 60,000 times
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}") from error
        about = (
            f"{path[len(str(root)) :]}\0{found.st_size}\0{found.st_mtime_ns}\0{found.st_ctime_ns}\n"
        )
        key.update(about.encode("utf-8", "surrogateescape"))
    return key.hexdigest()


def _content_key(digest: UInt64[np.ndarray, "N"], image_size: int | None) -> str:
    rule = f"{decoding.RULE}, side {image_size}".encode()
    return hashlib.blake2b(digest.astype("<u8").tobytes() + rule, digest_size=16).hexdigest()


def _read_digests(cache: Path, stamp: str, count: int) -> UInt64[np.ndarray, "N"] | None:
    """The digests noted under a stamp; None where there are none, or the file is damaged (it has a checksum)."""
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
    """The images under a key, memory-mapped; None where there are none, or the file is not what was written."""
    path = _image_file(cache, content)
    try:
        layout = Layout(**files.read_json(path.with_suffix(".json")))
        images = _mapped(path)
        whole = path.stat().st_size == images.offset + images.nbytes
    except (FileError, OSError, ValueError, TypeError, EOFError):
        return None
    expected = (count, *layout.shape)
    return (
        (images, layout)
        if whole and images.dtype == np.uint8 and images.shape == expected
        else None
    )


def _mapped(path: Path) -> np.memmap:
    try:
        images = np.load(
            path, mmap_mode="c", allow_pickle=False
        )  # writable, as torch wants it; the file never changes
    except OSError:  # the kernel refuses a writable map that is larger than its memory
        images = np.load(path, mmap_mode="r", allow_pickle=False)
    if not isinstance(images, np.memmap):
        raise ValueError(f"{path} is no array file")
    return images
