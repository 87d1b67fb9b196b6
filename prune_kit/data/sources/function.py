"""package.module:function: a function of your own that takes no argument and returns the data set."""

import importlib
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from prune_kit.data.dataset import Dataset
from prune_kit.data.named_arrays import from_named_arrays
from prune_kit.errors import DataError, PruneKitError
from prune_kit.progress import Listener, silent

TUPLES = {2: ("x_train", "y_train"), 4: ("x_train", "y_train", "x_test", "y_test")}


def load(location: str, *, image_size: int | None = None, progress: Listener = silent) -> Dataset:
    """What the function named by `location` returns.

    It may return a Dataset, a dictionary of arrays under the names of an npz file, or a tuple
    (x_train, y_train) or (x_train, y_train, x_test, y_test). The current folder can be imported
    from. Raises DataError when the function is not found, fails (the error says where), or returns
    something else.
    """
    function = _find(location)
    try:
        result = function()
    except PruneKitError:
        raise
    except (
        Exception
    ) as error:  # anything may go wrong in a user's function, and it is the user's to mend
        raise DataError(f"{location}() failed: {_told(error)}") from error
    if isinstance(result, Dataset):
        return result
    if isinstance(result, tuple) and len(result) in TUPLES:
        result = dict(zip(TUPLES[len(result)], result, strict=True))
    if not isinstance(result, Mapping):
        found = (
            f"a tuple of {len(result)}"
            if isinstance(result, tuple)
            else f"a {type(result).__name__}"
        )
        expected = "a Dataset, a dictionary with x_train and y_train, or a tuple (x_train, y_train[, x_test, y_test])"
        raise DataError(f"{location}() returned {found}; expected {expected}")
    return from_named_arrays(result, name=location, spec=location)


def _find(location: str) -> Callable[[], object]:
    module_name, _, name = location.partition(":")
    try:
        with _importing_from_here():
            module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and f"{module_name}.".startswith(f"{error.name}."):
            raise DataError(
                f"there is no module {error.name!r} (looked in {Path.cwd()} and on Python's path)"
            ) from error
        raise DataError(f"importing {module_name} failed: {_told(error)}") from error
    except Exception as error:  # a module runs when it is imported; see `load`
        raise DataError(f"importing {module_name} failed: {_told(error)}") from error
    function = getattr(module, name, None)
    if not callable(function):
        there = [
            key
            for key, value in vars(module).items()
            if callable(value) and not key.startswith("_")
        ]
        raise DataError(
            f"{module_name} has no function {name!r}; it has: {', '.join(there) or 'none'}"
        )
    found: Callable[[], object] = function
    return found


@contextmanager
def _importing_from_here() -> Iterator[None]:
    here = str(Path.cwd())
    importlib.invalidate_caches()  # the module may have been written a moment ago
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)


def _told(error: Exception) -> str:
    """The error in one line: its type, its message, and the file and line that raised it."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    message, file, line = str(error), last.filename, last.lineno
    if isinstance(error, SyntaxError):  # raised by the compiler, about a line that it says
        message, file, line = error.msg, error.filename or file, error.lineno
    return f"{type(error).__name__}: {' '.join(message.split())} ({file}:{line})"
