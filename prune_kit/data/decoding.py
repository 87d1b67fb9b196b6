"""Image files to pixels, on all cores: first their digests and sizes, then the pixels.

The pixels are written straight into a file.
"""

import io
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import PIL
from jaxtyping import Int, UInt64
from PIL import Image, UnidentifiedImageError

from prune_kit.data.identity import content_digests
from prune_kit.errors import DataError
from prune_kit.machine import in_processes
from prune_kit.progress import Listener, Progress, note

# What determines the pixels besides the files and the side.
RULE = f"prune_kit 1, Pillow {PIL.__version__}"
# EPS is left out, because Pillow would start Ghostscript.
FORMATS = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP", "GIF")
GREY = ("1", "L", "LA")
COLOUR = ("RGB", "RGBA", "RGBX", "P", "PA", "CMYK", "YCbCr", "LAB", "HSV")
DEFAULT_SIDE = 64  # pixels, for images of different sizes
CHUNK = 256  # the files in a piece of work
FEW = 500  # with fewer files, starting processes takes longer than it saves

T = TypeVar("T")


@dataclass(frozen=True)
class Layout:
    """The shape of every decoded image.

    `side` is the side in pixels to which images are resized, None where they keep their size.
    """

    height: int
    width: int
    channels: int
    side: int | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """The height, width and channels."""
        return self.height, self.width, self.channels

    @property
    def preparation(self) -> str:
        """What is done to the images, in words, "" for nothing."""
        if self.side is None:
            return ""
        return (
            f"shorter side resized to {self.side} pixels (bilinear, antialiased), centre "
            f"{self.side}x{self.side} kept"
        )


def inspect(
    paths: list[str], progress: Listener
) -> tuple[UInt64[np.ndarray, "N"], Int[np.ndarray, "N 3"]]:
    """The digests and the shapes of image files. The pixels are not decoded.

    Parameters
    ----------
    paths
        The files.
    progress
        The listener of the progress.

    Returns
    -------
    digest (N,)
        The digest of each file's bytes.
    shape (N, 3)
        The height, width and channels of each image.

    Raises
    ------
    DataError
        If a file is not an image of 8 bits per channel. The error names the file.
    """
    parts = list(_on_all_cores(_inspect_some, paths, "reading images", progress))
    digest = np.concatenate([digest for digest, _ in parts])
    return digest, np.concatenate([shape for _, shape in parts])


def plan(shapes: Int[np.ndarray, "N 3"], paths: list[str], image_size: int | None) -> Layout:
    """The layout of images with these shapes.

    Images of one size keep it, unless `image_size` is another size. Other images become squares.

    Parameters
    ----------
    shapes
        The height, width and channels of each image.
    paths
        Their files, for the error.
    image_size
        The side of the squares in pixels, 64 by default.

    Returns
    -------
    Layout
        The layout of all images.

    Raises
    ------
    DataError
        If the images differ in channels. The error names a file of each kind.
    """
    channels = shapes[:, 2]
    other = np.flatnonzero(channels != channels[0])
    if len(other):
        raise DataError(
            f"images differ in channels: {paths[0]} has {channels[0]}, {paths[other[0]]} has "
            f"{channels[other[0]]} ({len(other):,} of {len(paths):,} are unlike the first). "
            "Convert them to one kind"
        )
    height, width, channels_of_all = map(int, shapes[0])
    of_one_size = bool((shapes == shapes[0]).all())
    if of_one_size and (image_size is None or height == width == image_size):
        return Layout(height, width, channels_of_all)
    side = DEFAULT_SIDE if image_size is None else image_size
    return Layout(side, side, channels_of_all, side)


def decode_into(target: Path, paths: list[str], layout: Layout, progress: Listener) -> None:
    """Decode images into one uint8 `.npy` file (N, H, W, C), a few images at a time.

    Parameters
    ----------
    target
        The file to write.
    paths
        The files of the images, in the order of the rows.
    layout
        The layout of the images.
    progress
        The listener of the progress.

    Raises
    ------
    DataError
        If an image cannot be decoded. The error names the file.
    OSError
        If the disk is full.
    """
    with target.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (len(paths), *layout.shape)}
        np.lib.format.write_array_header_1_0(file, header)
        begin = file.tell()
    decoder = _Decoder(str(target), begin, layout)
    for _ in _on_all_cores(decoder, paths, "decoding images", progress):
        pass


@dataclass(frozen=True)
class _Decoder:
    """Decodes some files into their rows of the target.

    It is a value, so that it can be sent to another process.
    """

    target: str
    begin: int
    layout: Layout

    def __call__(self, start: int, paths: list[str]) -> None:
        height, width, channels = self.layout.shape
        with open(self.target, "r+b") as file:  # noqa: PTH123  # one of many processes that fill it
            file.seek(self.begin + start * height * width * channels)
            for path in paths:
                file.write(_pixels(path, self.layout))


def _inspect_some(
    start: int, paths: list[str]
) -> tuple[UInt64[np.ndarray, "n"], Int[np.ndarray, "n 3"]]:
    contents = []
    shapes = np.empty((len(paths), 3), dtype=np.int64)
    for row, path in enumerate(paths):
        content = _content(path)
        with _opened(content, path) as image:
            shapes[row] = image.height, image.width, _channels(image, path)
        contents.append(content_digests([content]))
    return np.concatenate(contents), shapes


def _pixels(path: str, layout: Layout) -> bytes:
    """The pixels of one image, height by width by channels."""
    with _opened(_content(path), path) as opened:
        image: Image.Image = opened.convert("L" if _channels(opened, path) == 1 else "RGB")
        if layout.side is not None:
            image = _centre_square(image, layout.side)
        if (image.height, image.width, len(image.getbands())) != layout.shape:
            raise DataError(f"{path} has changed while it was read; start again")
        return image.tobytes()


def _centre_square(image: Image.Image, side: int) -> Image.Image:
    """Resize the shorter side, and keep the centre, rounded as in torchvision's transforms."""
    width, height = image.size
    if width <= height:
        size = (side, int(side * height / width))
    else:
        size = (int(side * width / height), side)
    if size[0] * size[1] > (Image.MAX_IMAGE_PIXELS or math.inf):
        raise ValueError(
            f"{width} x {height} pixels are too narrow for a shorter side of {side} pixels"
        )
    image = image.resize(size, Image.Resampling.BILINEAR)
    left = round((size[0] - side) / 2)
    top = round((size[1] - side) / 2)
    return image.crop((left, top, left + side, top + side))


def _channels(image: Image.Image, path: str) -> int:
    """1 for grey and 3 for colour. Transparency is dropped, and palettes are looked up."""
    tile = getattr(image, "tile", None)  # how the file stores the pixels
    rawmode = str(tile[0][3]) if tile else ""
    # BGR;16 packs three channels into 16 bits.
    sixteen_bit = ";16" in rawmode and "BGR;16" not in rawmode
    if image.mode in GREY and not sixteen_bit:
        return 1
    if image.mode in COLOUR and not sixteen_bit:
        return 3
    kind = f"{image.mode}, 16 bits per channel" if sixteen_bit else image.mode
    raise DataError(
        f"{path} has pixels of mode {kind}; expected 8 bits per channel "
        f"({', '.join(GREY + COLOUR)})"
    )


def _content(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error


@contextmanager
def _opened(content: bytes, path: str) -> Iterator[Image.Image]:
    """The image in a file's bytes. Every error of Pillow becomes a DataError with the path."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about damaged EXIF data, which does not affect the pixels
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                yield image
        except DataError:
            raise
        except UnidentifiedImageError as error:
            raise DataError(
                f"{path} is not an image that can be read: it is damaged, or its format is not "
                f"one of {', '.join(FORMATS)}"
            ) from error
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            raise DataError(f"{path} is too large: {error}") from error
        except Exception as error:  # on a damaged file, the plugins of Pillow may raise any error
            raise DataError(
                f"{path} is damaged or truncated: {type(error).__name__}: {error}"
            ) from error


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
