"""Errors that the machine makes, and not prune_kit: what they say in one line.

The verbs raise errors of their own for what they expect. This is for the rest: a file that may not
be looked at, too many open files, no memory, no home folder.
"""

import errno
import os

OF_THE_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
# what loaders of shared libraries say: two of Linux, one of macOS, one of Windows
NOT_LOADED = (
    "failed to map segment",
    "cannot open shared object",
    "Library not loaded",
    "DLL load",
)


def blamed(error: Exception) -> str:
    """What the surroundings did, and what to do about it.

    Parameters
    ----------
    error
        An error that no verb expected.

    Returns
    -------
    str
        Empty where the error is no doing of the surroundings.
    """
    if isinstance(error, MemoryError):
        return (
            f"the memory is too small{f': {error}' if str(error) else ''}. Close other programs, "
            "or use a machine with more"
        )
    if isinstance(error, UnicodeEncodeError) and "surrogates" in error.reason:
        return f"{error.object!r} is no UTF-8 text; rename it, or give it by another path"
    if isinstance(error, RuntimeError) and "home directory" in str(error):
        return "the home folder of this user is not known; set HOME to a folder of yours"
    if isinstance(error, ImportError) and any(words in str(error) for words in NOT_LOADED):
        return f"a library cannot be loaded: {error}. Is it installed whole, and is memory left?"
    if not isinstance(error, OSError):
        return ""
    said = error.strerror or str(error)
    if not _has_current_folder():
        return f"the current folder is not there any more ({said}); cd to one that is"
    if error.filename is not None:
        return f"{os.fsdecode(error.filename)} cannot be used: {said}"
    return f"the machine refuses: {said}" if error.errno in OF_THE_MACHINE else ""


def _has_current_folder() -> bool:
    try:
        return bool(os.getcwd())  # noqa: PTH109
    except OSError:
        return False
