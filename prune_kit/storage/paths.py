"""Paths as users give them, in surroundings that may lack a home folder or a current folder."""

import os
from pathlib import Path

from prune_kit.errors import FileError


def expanded(path: str | Path) -> Path:
    """A path with the home folder in the place of `~` or `~name`.

    A file that bears the name with the `~` stands for itself where there is no such user.

    Raises
    ------
    FileError
        Nobody knows the home folder.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        if os.path.lexists(path):
            return Path(path)
        user = Path(path).parts[0][1:]
        whose = f"the user {user!r}" if user else "this user (HOME is not set)"
        raise FileError(
            f"{path}: the home folder of {whose} is not known. Write the path in full, or "
            f"./{path} for what is called so"
        ) from error


def check_is_text(path: str | Path, what: str) -> None:
    """Check that a path can be written into files and given to libraries, which know only text.

    Parameters
    ----------
    path
        The path.
    what
        What is called so, in words.

    Raises
    ------
    FileError
        The path holds bytes that are no UTF-8 text.
    """
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError as error:
        raise FileError(
            f"{what} {str(path)!r} holds bytes that are no UTF-8 text. Rename it, or give a "
            "symbolic link to it"
        ) from error


def absolute(path: str | Path) -> Path:
    """A path from the root on. `~` is an ordinary character.

    Raises
    ------
    FileError
        The path is relative, and the current folder has been removed.
    """
    path = Path(path)
    return path if path.is_absolute() else current_folder() / path


def current_folder() -> Path:
    """The current folder.

    Raises
    ------
    FileError
        It has been removed, or may not be looked up.
    """
    try:
        return Path.cwd()
    except OSError as error:
        raise FileError(
            f"the current folder is not there any more ({error.strerror or error}); cd to one that "
            "is"
        ) from error
