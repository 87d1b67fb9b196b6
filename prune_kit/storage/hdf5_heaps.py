"""What HDF5 itself does not check: a damaged heap of texts, on which the library runs in circles for ever.

The layout of a global heap collection: HDF5 File Format Specification, version 3.0, section III.E
(https://docs.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html).
"""

import mmap
from pathlib import Path

from prune_kit.errors import FileError

SIGNATURE, HEADER, ALIGNED = b"GCOL\x01", 16, 8  # with the only version: HDF5 refuses another


def check_heaps(path: Path) -> None:
    """Raise FileError when a global heap collection of an HDF5 file leads out of itself, or nowhere on."""
    try:
        with (
            path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            place = content.find(SIGNATURE)
            while place >= 0:
                if place % ALIGNED == 0 and not _is_sound(content, place):
                    raise FileError(
                        f"{path} is not a whole HDF5 file: its texts, at byte {place:,}, are broken"
                    )
                place = content.find(SIGNATURE, place + 1)
    except (OSError, ValueError) as error:  # ValueError: an empty file cannot be mapped
        raise FileError(f"cannot read {path}: {error}") from error


def _is_sound(content: mmap.mmap, start: int) -> bool:
    """Whether the objects of the collection at `start` follow each other to its end."""
    end = start + _number(content, start + 8, 8)
    if not start + HEADER <= end <= len(content):
        return False
    place = start + HEADER
    while place + HEADER <= end:
        index, size = _number(content, place, 2), _number(content, place + 8, 8)
        padded = -(-size // ALIGNED) * ALIGNED
        length = (
            size if index == 0 else HEADER + padded
        )  # object 0 is free space, and its size counts its header
        if length < HEADER or place + length > end:
            return False
        place += length
    return True


def _number(content: mmap.mmap, place: int, length: int) -> int:
    return int.from_bytes(content[place : place + length], "little")
