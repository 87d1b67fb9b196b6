"""One image file: whether it can be used, what is peculiar in it, and its pixels.

Colour is RGB and grey is one channel, of 8 bits. A transparent image is put on white. Palettes,
CMYK and other colour spaces are converted. An image that says in its EXIF data how it was held is
turned upright. Of several frames the first counts.
"""

import io
import math
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import PIL
from PIL import Image, UnidentifiedImageError

# What determines the pixels besides the files and the side.
RULE = f"prune_kit 2, Pillow {PIL.__version__}"
# EPS is left out, because Pillow would start Ghostscript.
FORMATS = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP", "GIF")
ENDINGS = (
    ".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp", ".gif",
)  # fmt: skip
GREY = ("1", "L", "LA")
COLOUR = ("RGB", "RGBA", "RGBX", "P", "PA", "CMYK", "YCbCr", "LAB", "HSV")
ORIENTATION = 0x0112  # the EXIF tag
UPRIGHT = 1
TURNS = {  # from how a camera was held to upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS = (5, 6, 7, 8)  # orientations in which height and width are swapped
EXIF = ("apply", "ignore")

# what is peculiar in an image, as bits
TRANSPARENT, CONVERTED, FRAMES, TURNED = 1, 2, 4, 8


class UnusableError(Exception):
    """Why a file cannot be used. The text follows its path: "is empty (0 bytes)"."""


@dataclass(frozen=True)
class Layout:
    """The shape of every decoded image, and how EXIF data are used.

    `side` is the side in pixels to which images are resized, None where they keep their size.
    """

    height: int
    width: int
    channels: int
    side: int | None = None
    exif: str = "apply"

    @property
    def shape(self) -> tuple[int, int, int]:
        """The height, width and channels."""
        return self.height, self.width, self.channels


def content_of(path: str) -> bytes:
    """The bytes of a regular file. Raises UnusableError for anything else."""
    try:
        # a named pipe would be waited for, and a device may never end
        if not stat.S_ISREG(Path(path).stat().st_mode):
            raise UnusableError("is not a regular file (a pipe, a socket or a device)")
        content = Path(path).read_bytes()
    except FileNotFoundError as error:
        is_link = Path(path).is_symlink()
        reason = "is a link to a file that does not exist" if is_link else "does not exist any more"
        raise UnusableError(reason) from error
    except OSError as error:
        raise UnusableError(f"cannot be read: {error.strerror or error}") from error
    if not content:
        raise UnusableError("is empty (0 bytes)")
    return content


def facts_of(content: bytes, exif: str) -> tuple[int, int, int, int]:
    """The height, width and channels of an image, and what is peculiar in it. Decodes no pixel.

    Parameters
    ----------
    content
        The bytes of the file.
    exif
        One of EXIF.

    Returns
    -------
    tuple
        The height, width and channels (1 or 3) of the converted image, and the bits TRANSPARENT,
        CONVERTED, FRAMES and TURNED.

    Raises
    ------
    UnusableError
        If this is not an image of 8 bits per channel.
    """
    with _opened(content) as image:
        turned = _orientation(image) if exif == "apply" else UPRIGHT
        traits = TRANSPARENT * _is_transparent(image)
        traits |= CONVERTED * (image.mode in ("P", "PA", "CMYK", "YCbCr", "LAB", "HSV"))
        traits |= FRAMES * (image.format == "GIF" or getattr(image, "n_frames", 1) > 1)
        traits |= TURNED * (turned != UPRIGHT)
        size = (image.width, image.height) if turned in SIDEWAYS else (image.height, image.width)
        return *size, _channels(image), traits


def pixels_of(content: bytes, layout: Layout) -> bytes:
    """The pixels of an image, height by width by channels.

    Parameters
    ----------
    content
        The bytes of the file.
    layout
        What the image is made into. A grey one becomes RGB where there are three channels.

    Raises
    ------
    UnusableError
        If the image is damaged, too large, or does not have the size of the layout.
    """
    with _opened(content) as opened:
        mode = "L" if _channels(opened) == 1 else "RGB"
        image = _on_white(opened) if _is_transparent(opened) else opened
        if layout.exif == "apply" and _orientation(opened) != UPRIGHT:
            image = image.transpose(TURNS[_orientation(opened)])
        image = image.convert(mode).convert("L" if layout.channels == 1 else "RGB")
        if layout.side is not None:
            image = _centre_square(image, layout.side)
        if (image.height, image.width, len(image.getbands())) != layout.shape:
            raise UnusableError("has changed while it was read; start again")
        return image.tobytes()


def _orientation(image: Image.Image) -> int:
    """How EXIF data say that an image was held.

    Pillow turns TIFF images itself. It would decode a PNG to look for EXIF data behind the pixels.
    """
    if image.format == "TIFF" or (image.format == "PNG" and "exif" not in image.info):
        return UPRIGHT
    value = image.getexif().get(ORIENTATION, UPRIGHT)
    return value if value in TURNS else UPRIGHT


def _is_transparent(image: Image.Image) -> bool:
    return image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info


def _on_white(image: Image.Image) -> Image.Image:
    seen = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen)


def _centre_square(image: Image.Image, side: int) -> Image.Image:
    """Resize the shorter side, and keep the centre, rounded as in torchvision's transforms."""
    width, height = image.size
    if width <= height:
        size = (side, int(side * height / width))
    else:
        size = (int(side * width / height), side)
    if size[0] * size[1] > (Image.MAX_IMAGE_PIXELS or math.inf):
        raise UnusableError(
            f"has {width} x {height} pixels, too narrow for a shorter side of {side} pixels"
        )
    image = image.resize(size, Image.Resampling.BILINEAR)
    left = round((size[0] - side) / 2)
    top = round((size[1] - side) / 2)
    return image.crop((left, top, left + side, top + side))


def _channels(image: Image.Image) -> int:
    """1 for grey and 3 for colour."""
    if image.mode in GREY and not _has_sixteen_bits(image):
        return 1
    if image.mode in COLOUR and not _has_sixteen_bits(image):
        return 3
    kind = f"{image.mode}, 16 bits per channel" if _has_sixteen_bits(image) else image.mode
    raise UnusableError(
        f"has pixels of mode {kind}; expected 8 bits per channel ({', '.join(GREY + COLOUR)})"
    )


def _has_sixteen_bits(image: Image.Image) -> bool:
    """Whether the file has more than 8 bits per channel, which Pillow would cut off."""
    tile = getattr(image, "tile", None)  # how the file stores the pixels
    stored = tile[0][3] if tile else ""
    if isinstance(stored, tuple) and image.format == "PPM":  # (raw mode, largest value)
        return int(stored[1]) > 255
    rawmode = str(stored[0] if isinstance(stored, tuple) and stored else stored)
    # BGR;16 packs three channels into 16 bits.
    return ";16" in rawmode and "BGR;16" not in rawmode


@contextmanager
def _opened(content: bytes) -> Iterator[Image.Image]:
    """The image in a file's bytes. Every error of Pillow becomes an UnusableError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about damaged EXIF data, which does not affect the pixels
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                yield image
        except UnusableError:
            raise
        except UnidentifiedImageError as error:
            raise UnusableError(
                "is not an image that can be read: it is damaged, or its format is not one of "
                f"{', '.join(FORMATS)}"
            ) from error
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            raise UnusableError(f"is too large: {error}") from error
        except Exception as error:  # on a damaged file, the plugins of Pillow may raise any error
            raise UnusableError(
                f"is damaged or truncated: {type(error).__name__}: {error}"
            ) from error
