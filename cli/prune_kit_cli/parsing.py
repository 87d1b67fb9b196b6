"""From the words of a command line to values."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from prune_kit.errors import FileError, OptionError
from prune_kit.storage import files

if TYPE_CHECKING:
    from prune_kit.protocol.config import TrainConfig


def read_probabilities(path: Path) -> np.ndarray:
    """Probabilities (N, C) from an npy file, as a memory map unless they are long doubles.

    Raises FileError when it holds none.
    """
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except files.UNREADABLE_ARRAY as error:
        raise FileError(f"--from-probs {path} cannot be read as an npy array: {error}") from error
    if not isinstance(found, np.ndarray) or found.ndim != 2 or found.dtype.kind != "f":
        what = f"{found.dtype} {found.shape}" if isinstance(found, np.ndarray) else "an .npz file"
        raise FileError(
            f"--from-probs {path} holds {what}; expected floats (N, C), as numpy.save writes them"
        )
    if found.dtype.itemsize > np.dtype(np.float64).itemsize:  # no other reader knows long doubles
        with np.errstate(over="ignore"):
            return found.astype(np.float64)
    return found


def numbers(texts: list[str] | None, option: str) -> list[int] | None:
    """Whole numbers from repeated or comma-separated options."""
    if not texts:
        return None
    try:
        found = [int(part) for text in texts for part in text.split(",")]
    except ValueError as error:
        raise OptionError(
            f"{option} {','.join(texts)} is no whole number, nor a list of them such as 5,10,20"
        ) from error
    if min(found) < 0:
        raise OptionError(f"{option} {min(found)} is out of range; at least 0")
    return found


def words(text: str, option: str) -> list[str]:
    """The words of a comma-separated list. Raises OptionError for an empty one."""
    found = [word.strip() for word in text.split(",") if word.strip()]
    if not found:
        raise OptionError(f"{option} names nothing")
    return found


def shares(text: str, option: str) -> list[float]:
    """Shares from 0 to 1 of a comma-separated list. Raises OptionError."""
    try:
        found = [float(word) for word in words(text, option)]
    except ValueError as error:
        raise OptionError(f"{option} {text} is no list of numbers such as 0.2,0.4") from error
    outside = [value for value in found if not 0 <= value <= 1]
    if outside:
        raise OptionError(f"{option} {outside[0]:g} is out of range; it is a share, 0 to 1")
    return found


def changes_of(model: str | None, train: list[str] | None) -> dict[str, str]:
    """The fields of the protocol that --model and --train change.

    Raises OptionError for any that do not fit.
    """
    from prune_kit.protocol.config import TrainConfig

    pairs = [change.partition("=") for change in train or []]
    for key, equals, _ in pairs:
        if not equals:
            raise OptionError(f"--train {key!r} must have the form KEY=VALUE, such as epochs=10")
    changes = {"model": model} if model else {}
    changes |= {key: value for key, _, value in pairs}
    TrainConfig(model="", epochs=1, nesterov=False).changed(changes)
    return changes


def recipe_protocol(recipe: str | None) -> "TrainConfig | None":
    """The training protocol of a recipe; None without one. Raises RecipeError."""
    from prune_kit.experiments.recipe import load_recipe

    return load_recipe(recipe).train if recipe else None


def baselines(text: str) -> tuple[str, ...]:
    """What --baseline names; nothing for "none"."""
    return () if text == "none" else tuple(word for word in text.split(",") if word)
