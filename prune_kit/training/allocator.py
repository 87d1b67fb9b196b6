"""The C library's allocator keeps what a training step frees, for the next step needs it again."""

import ctypes
import sys
from functools import cache

# M_MMAP_THRESHOLD and M_TRIM_THRESHOLD of glibc's malloc.h
MMAP_THRESHOLD = -3
TRIM_THRESHOLD = -1
KEPT_BYTES = 2**30


@cache
def keep_freed_memory() -> bool:
    """Raise glibc's thresholds for this process.

    With the default thresholds glibc returns every large buffer to the kernel when it is freed.
    Each step then faults all of its pages in again.

    Returns
    -------
    Whether the C library has these thresholds. Other systems keep their own rules.
    """
    if not sys.platform.startswith("linux"):
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallopt"):
        return False
    return all(library.mallopt(option, KEPT_BYTES) for option in (MMAP_THRESHOLD, TRIM_THRESHOLD))
