"""package.module:function: your own function without arguments, which returns the data set."""

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


def load(location: str, *, progress: Listener = silent) -> Dataset:
    """Load a data set by calling a function.

    The function may return a `Dataset`, a dictionary of arrays under the names of an npz file, or a
    tuple (x_train, y_train) or (x_train, y_train, x_test, y_test).

    Parameters
    ----------
    location
        `package.module:function`. The module may be in the current folder.
    progress
        Not used.

    Returns
    -------
    Dataset
        What the function returns.

    Raises
    ------
    DataError
        If the function is not found, fails, or returns something else. The error says where.
    """
    function = _find(location)
    try:
        result = function()
    except PruneKitError:
        raise
    except Exception as error:  # the user's function may raise any error, which the user can fix
        raise DataError(f"{location}() failed: {_in_one_line(error)}") from error
    if isinstance(result, Dataset):
        return result
    if isinstance(result, tuple) and len(result) in TUPLES:
        result = dict(zip(TUPLES[len(result)], result, strict=True))
    if not isinstance(result, Mapping):
        kind = type(result).__name__
        returned = f"a tuple of {len(result)}" if isinstance(result, tuple) else f"a {kind}"
        raise DataError(
            f"{location}() returned {returned}; expected a Dataset, a dictionary with x_train and "
            "y_train, or a tuple (x_train, y_train[, x_test, y_test])"
        )
    return from_named_arrays(result, name=location, spec=location)


def _find(location: str) -> Callable[[], object]:
    module_name, _, name = location.partition(":")
    try:
        with _importing_from_here():
            module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and f"{module_name}.".startswith(f"{error.name}."):
            here = _here() or "the current folder"
            raise DataError(
                f"the module {error.name!r} is not in {here} or on Python's path"
            ) from error
        raise DataError(f"importing {module_name} failed: {_in_one_line(error)}") from error
    except Exception as error:  # as in `load`, because importing a module runs it
        raise DataError(f"importing {module_name} failed: {_in_one_line(error)}") from error
    function = getattr(module, name, None)
    if not callable(function):
        names = [
            key
            for key, value in vars(module).items()
            if callable(value) and not key.startswith("_")
        ]
        raise DataError(
            f"{module_name} lacks the function {name!r}; it has: {', '.join(names) or 'nothing'}"
        )
    result: Callable[[], object] = function
    return result


def _here() -> str:
    """The current folder. "" where it has been removed; Python then finds nothing in it."""
    try:
        return str(Path.cwd())
    except OSError:
        return ""


@contextmanager
def _importing_from_here() -> Iterator[None]:
    here = _here()
    importlib.invalidate_caches()  # because the module may be new
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)


def _in_one_line(error: Exception) -> str:
    """The error in one line: its type, its message, and the file and line that raised it."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    message = str(error)
    file = last.filename
    line = last.lineno
    if isinstance(error, SyntaxError):  # the compiler raises it, and it says which line it is about
        message = error.msg
        file = error.filename or file
        line = error.lineno
    return f"{type(error).__name__}: {' '.join(message.split())} ({file}:{line})"
