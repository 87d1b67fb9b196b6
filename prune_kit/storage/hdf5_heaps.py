"""A check that HDF5 lacks: with a damaged heap of texts, the library never stops reading.

The layout of a global heap collection is in the HDF5 File Format Specification, version 3.0,
section III.E (https://docs.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html).
"""

import mmap
from pathlib import Path

from prune_kit.errors import FileError

SIGNATURE = b"GCOL\x01"  # with the only version: HDF5 refuses another
HEADER = 16  # bytes
ALIGNED = 8  # bytes


def check_heaps(path: Path) -> None:
    """Check the global heap collections of an HDF5 file.

    Raises
    ------
    FileError
        The objects of a collection do not follow each other to its end.
    """
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
    """Whether the objects of the collection at byte `start` follow each other to its end."""
    end = start + _number(content, start + 8, 8)
    if not start + HEADER <= end <= len(content):
        return False
    place = start + HEADER
    while place + HEADER <= end:
        index = _number(content, place, 2)
        size = _number(content, place + 8, 8)
        padded = -(-size // ALIGNED) * ALIGNED
        # object 0 is free space, and its size includes its header
        length = size if index == 0 else HEADER + padded
        if length < HEADER or place + length > end:
            return False
        place += length
    return True


def _number(content: mmap.mmap, place: int, length: int) -> int:
    return int.from_bytes(content[place : place + length], "little")
