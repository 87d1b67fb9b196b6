"""The C library's allocator, told to keep what a training step frees, since the next step wants it again."""

import ctypes
import sys
from functools import cache

MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1  # M_MMAP_THRESHOLD and M_TRIM_THRESHOLD of glibc's malloc.h
KEPT_BYTES = 2**30


@cache
def keep_freed_memory() -> bool:
    """Raise glibc's thresholds for this process; say whether it has them (other systems keep their own rules).

    With the default thresholds glibc returns every large buffer to the kernel when it is freed, and
    each step faults all of its pages in again.
    """
    if not sys.platform.startswith("linux"):
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallopt"):
        return False
    return all(library.mallopt(option, KEPT_BYTES) for option in (MMAP_THRESHOLD, TRIM_THRESHOLD))
