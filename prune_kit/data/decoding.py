"""Image files to pixels, on all cores: their digests and sizes first, then the pixels, straight into a file."""

import io
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import PIL
from jaxtyping import Int, UInt64
from PIL import Image, UnidentifiedImageError

from prune_kit.data.identity import content_digests
from prune_kit.errors import DataError
from prune_kit.progress import Listener, Progress

# what decides the pixels besides the files and the side
RULE = f"prune_kit 1, Pillow {PIL.__version__}"
FORMATS = (
    "JPEG",
    "PNG",
    "PPM",
    "BMP",
    "TIFF",
    "WEBP",
    "GIF",
)  # no EPS: Pillow would start Ghostscript
GREY, COLOUR = ("1", "L", "LA"), ("RGB", "RGBA", "RGBX", "P", "PA", "CMYK", "YCbCr", "LAB", "HSV")
DEFAULT_SIDE = 64  # pixels, for images of different sizes
CHUNK, FEW = (
    256,
    500,
)  # files per piece of work; fewer files than FEW are not worth starting processes for

T = TypeVar("T")


@dataclass(frozen=True)
class Layout:
    """The shape that every decoded image gets; `side` is what it is resized to, None where it stays as it is."""

    height: int
    width: int
    channels: int
    side: int | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width, channels."""
        return self.height, self.width, self.channels

    @property
    def preparation(self) -> str:
        """What is done to the images, in words; "" for nothing."""
        if self.side is None:
            return ""
        return f"shorter side resized to {self.side} pixels (bilinear, antialiased), centre {self.side}x{self.side} kept"


def inspect(
    paths: list[str], progress: Listener
) -> tuple[UInt64[np.ndarray, "N"], Int[np.ndarray, "N 3"]]:
    """The digest of each file's bytes, and each image's height, width and channels, read without decoding it.

    Raises DataError, which names the file, for one that is no image, or not of 8 bits per channel.
    """
    parts = list(_on_all_cores(_inspect_some, paths, "reading images", progress))
    return np.concatenate([digest for digest, _ in parts]), np.concatenate(
        [shape for _, shape in parts]
    )


def plan(shapes: Int[np.ndarray, "N 3"], paths: list[str], image_size: int | None) -> Layout:
    """The layout for images of these shapes: as they are if all are of one size, else squares of `image_size`.

    Raises DataError, which names one of each, when they differ in channels.
    """
    channels = shapes[:, 2]
    other = np.flatnonzero(channels != channels[0])
    if len(other):
        raise DataError(
            f"images differ in channels: {paths[0]} has {channels[0]}, {paths[other[0]]} has "
            f"{channels[other[0]]} ({len(other):,} of {len(paths):,} are unlike the first); "
            "convert them to one kind"
        )
    height, width, channels_of_all = map(int, shapes[0])
    as_they_are = bool((shapes == shapes[0]).all()) and (
        image_size is None or height == width == image_size
    )
    if as_they_are:
        return Layout(height, width, channels_of_all)
    side = DEFAULT_SIDE if image_size is None else image_size
    return Layout(side, side, channels_of_all, side)


def decode_into(target: Path, paths: list[str], layout: Layout, progress: Listener) -> None:
    """Write all images, row after row, as one uint8 `.npy` file (N, H, W, C); memory holds a few images at a time.

    Raises DataError, which names the file, for an image that cannot be decoded, OSError for a disk
    that is full.
    """
    with target.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (len(paths), *layout.shape)}
        np.lib.format.write_array_header_1_0(file, header)
        begin = file.tell()
    for _ in _on_all_cores(
        _Decoder(str(target), begin, layout), paths, "decoding images", progress
    ):
        pass


@dataclass(frozen=True)
class _Decoder:
    """Decodes some files into their rows of the target; a value, so that it can be sent to another process."""

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
            raise DataError(f"{path} has changed while it was read; run it again")
        return image.tobytes()


def _centre_square(image: Image.Image, side: int) -> Image.Image:
    """Resize the shorter side, keep the centre; rounded as torchvision's Resize and CenterCrop round."""
    width, height = image.size
    if width <= height:
        size = (side, int(side * height / width))
    else:
        size = (int(side * width / height), side)
    if size[0] * size[1] > (Image.MAX_IMAGE_PIXELS or math.inf):
        raise ValueError(
            f"{width} x {height} pixels are too narrow to be resized to a shorter side of {side}"
        )
    image = image.resize(size, Image.Resampling.BILINEAR)
    left, top = round((size[0] - side) / 2), round((size[1] - side) / 2)
    return image.crop((left, top, left + side, top + side))


def _channels(image: Image.Image, path: str) -> int:
    """1 for grey, 3 for colour; transparency is dropped, palettes are looked up."""
    tile = getattr(image, "tile", None)  # how the file stores the pixels
    rawmode = str(tile[0][3]) if tile else ""
    sixteen_bit = (
        ";16" in rawmode and "BGR;16" not in rawmode
    )  # BGR;16 packs three channels in 16 bits
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
    """The image in a file's bytes; whatever Pillow raises becomes a DataError that names the file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # damaged EXIF data and the like: no matter for the pixels
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                yield image
        except DataError:
            raise
        except UnidentifiedImageError as error:
            raise DataError(
                f"{path} is no image that can be read: damaged, or none of {', '.join(FORMATS)}"
            ) from error
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            raise DataError(f"{path} is too large: {error}") from error
        except Exception as error:  # Pillow's plugins raise whatever a damaged file leads them to
            raise DataError(
                f"{path} is damaged or truncated: {type(error).__name__}: {error}"
            ) from error


def _on_all_cores(
    work: Callable[[int, list[str]], T], paths: list[str], what: str, progress: Listener
) -> Iterator[T]:
    """The results of `work(start, paths[start : start + CHUNK])`, in order; the first error stops all."""
    pieces = [(start, paths[start : start + CHUNK]) for start in range(0, len(paths), CHUNK)]
    results: Iterator[T]
    if len(paths) < FEW:
        results = (work(*piece) for piece in pieces)
    else:
        from joblib import Parallel, delayed

        parallel = Parallel(n_jobs=-1, backend="loky", batch_size=1, return_as="generator")
        results = parallel(delayed(work)(*piece) for piece in pieces)
    done = 0
    progress(Progress(what, 0, len(paths)))
    for (_, piece), result in zip(pieces, results, strict=True):
        done += len(piece)
        progress(Progress(what, done, len(paths)))
        yield result
