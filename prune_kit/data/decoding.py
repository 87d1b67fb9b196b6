"""Many image files to pixels, on all cores: first what they are, then the pixels.

The pixels are written straight into a file. A file that cannot be used stops nothing: all of them
are found in one pass.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import Bool, Int, UInt8, UInt64

from prune_kit.data.identity import content_digests
from prune_kit.data.image_files import Layout, UnusableError, content_of, facts_of, pixels_of
from prune_kit.machine import in_processes
from prune_kit.progress import Listener, Progress, note

DEFAULT_SIDE = 64  # pixels, for images of different sizes
CHUNK = 256  # the files in a piece of work
FEW = 500  # with fewer files, starting processes takes longer than it saves

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Facts:
    """What is known of N image files before their pixels are decoded.

    Attributes
    ----------
    digest : (N,) uint64
        The digest of each file's bytes, 0 where the file cannot be read.
    shape : (N, 3) int
        The height, width and channels of each image, 0 where it cannot be used.
    traits : (N,) uint8
        What is peculiar in each image, as bits of `image_files`.
    reasons : dict
        Why files cannot be used, by row.
    """

    digest: UInt64[np.ndarray, "N"]
    shape: Int[np.ndarray, "N 3"]
    traits: UInt8[np.ndarray, "N"]
    reasons: dict[int, str]

    @property
    def good(self) -> Bool[np.ndarray, "N"]:
        """Which files can be used."""
        usable = np.ones(len(self.digest), dtype=bool)
        usable[list(self.reasons)] = False
        return usable

    def without(self, reasons: dict[int, str]) -> "Facts":
        """The same facts, with more files that cannot be used."""
        return replace(self, reasons=dict(sorted({**self.reasons, **reasons}.items())))

    def count(self, trait: int) -> int:
        """How many of the files that can be used have a trait."""
        return int((self.traits[self.good] & trait > 0).sum())


def inspect(paths: list[str], exif: str, progress: Listener) -> Facts:
    """What image files are. The pixels are not decoded.

    Parameters
    ----------
    paths
        The N files.
    exif
        One of `image_files.EXIF`.
    progress
        The listener of the progress.

    Returns
    -------
    Facts
        The facts, with the files that cannot be used.
    """
    parts = list(_on_all_cores(_Inspector(exif), paths, "reading images", progress))
    return Facts(
        np.concatenate([part.digest for part in parts]),
        np.concatenate([part.shape for part in parts]),
        np.concatenate([part.traits for part in parts]),
        {row: reason for part in parts for row, reason in part.reasons.items()},
    )


def plan(shapes: Int[np.ndarray, "N 3"], image_size: int | None, exif: str) -> Layout:
    """The layout of images with these shapes.

    Images of one size keep it, unless `image_size` is another size. Other images become squares.
    Where one has colour, all have three channels.

    Parameters
    ----------
    shapes
        The height, width and channels of each image.
    image_size
        The side of the squares in pixels, 64 by default.
    exif
        One of `image_files.EXIF`.

    Returns
    -------
    Layout
        The layout of all images.
    """
    height, width, channels = int(shapes[0, 0]), int(shapes[0, 1]), int(shapes[:, 2].max())
    of_one_size = bool((shapes[:, :2] == shapes[0, :2]).all())
    if of_one_size and (image_size is None or height == width == image_size):
        return Layout(height, width, channels, exif=exif)
    side = DEFAULT_SIDE if image_size is None else image_size
    return Layout(side, side, channels, side, exif)


def decode_into(
    target: Path, paths: list[str], layout: Layout, progress: Listener
) -> dict[int, str]:
    """Decode images into one uint8 `.npy` file (N, H, W, C), a few images at a time.

    Parameters
    ----------
    target
        The file to write.
    paths
        The N files of the images, in the order of the rows.
    layout
        The layout of the images.
    progress
        The listener of the progress.

    Returns
    -------
    dict
        Why files cannot be decoded, by row. Their pixels are 0.

    Raises
    ------
    OSError
        If the disk is full.
    """
    with target.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (len(paths), *layout.shape)}
        np.lib.format.write_array_header_1_0(file, header)
        begin = file.tell()
    decoder = _Decoder(str(target), begin, layout)
    reasons: dict[int, str] = {}
    for found in _on_all_cores(decoder, paths, "decoding images", progress):
        reasons |= found
    return reasons


@dataclass(frozen=True)
class _Inspector:
    """Looks at some files. It is a value, so that it can be sent to another process."""

    exif: str

    def __call__(self, start: int, paths: list[str]) -> Facts:
        digest = np.zeros(len(paths), dtype=np.uint64)
        shape = np.zeros((len(paths), 3), dtype=np.int64)
        traits = np.zeros(len(paths), dtype=np.uint8)
        reasons = {}
        for row, path in enumerate(paths):
            try:
                content = content_of(path)
                digest[row : row + 1] = content_digests([content])
                *shape[row], traits[row] = facts_of(content, self.exif)
            except UnusableError as error:
                reasons[start + row] = str(error)
        return Facts(digest, shape, traits, reasons)


@dataclass(frozen=True)
class _Decoder:
    """Decodes some files into their rows of the target, as a value, like `_Inspector`."""

    target: str
    begin: int
    layout: Layout

    def __call__(self, start: int, paths: list[str]) -> dict[int, str]:
        height, width, channels = self.layout.shape
        reasons = {}
        with open(self.target, "r+b") as file:  # noqa: PTH123  # one of many processes that fill it
            file.seek(self.begin + start * height * width * channels)
            for row, path in enumerate(paths):
                try:
                    file.write(pixels_of(content_of(path), self.layout))
                except UnusableError as error:
                    reasons[start + row] = str(error)
                    file.write(bytes(height * width * channels))
        return reasons


def _on_all_cores(
    work: Callable[[int, list[str]], T], paths: list[str], what: str, progress: Listener
) -> Iterator[T]:
    """The results of `work(start, paths[start : start + CHUNK])`, in order, on all cores.

    The first error stops the work. A process that the system kills is replaced once.
    """
    pieces = [(start, paths[start : start + CHUNK]) for start in range(0, len(paths), CHUNK)]
    results: Iterator[T]
    if len(paths) < FEW:
        results = (work(*piece) for piece in pieces)
    else:
        from joblib import cpu_count

        calls = [partial(work, *piece) for piece in pieces]
        results = in_processes(
            calls,
            cpu_count(),
            lower="the size of the images, or use a machine with more",
            tell=lambda text: progress(note(what, text)),
        )
    done = 0
    progress(Progress(what, 0, len(paths)))
    for (_, piece), result in zip(pieces, results, strict=True):
        done += len(piece)
        progress(Progress(what, done, len(paths)))
        yield result
