"""Images of the data as small data URIs."""

import base64
import io

import numpy as np
from jaxtyping import UInt8
from PIL import Image

SIDE = 64  # pixels, of the longer side at most
SMALL = 2000  # bytes; a PNG of at most this size is taken, which loses nothing


def thumbnail(image: UInt8[np.ndarray, "H W C"]) -> str:
    """A small copy of an image as a data URI.

    The copy has at most SIDE pixels a side. It is a PNG if that is small, else the smaller of PNG
    and JPEG. It holds no metadata of the image's file.

    Parameters
    ----------
    image
        One channel for grey, three for RGB.
    """
    pixels = np.ascontiguousarray(image[..., 0] if image.shape[2] == 1 else image)
    picture = Image.fromarray(pixels)
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    best, kind = _encoded(picture, "PNG", optimize=True), "png"
    if len(best) > SMALL:
        lossy = _encoded(picture, "JPEG", quality=80, optimize=True)
        if len(lossy) < len(best):
            best, kind = lossy, "jpeg"
    return data_uri(best, kind)


def data_uri(content: bytes, kind: str) -> str:
    """The bytes of an image as the source of an `img`; the kind is png, jpeg or svg+xml."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()
