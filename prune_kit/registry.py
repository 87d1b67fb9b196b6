"""The folder is the registry: every module of a package is one entry, named as the user writes it.

`cumulative_pl.py` is the method `cumulative_pl`, `fashion_mnist.py` the source `fashion-mnist`.
Names are listed without importing anything; only the entry that is used is loaded.
"""

import ast
import difflib
import importlib
import pkgutil
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from prune_kit.errors import OptionError, PruneKitError


def module_names(package: str) -> list[str]:
    """The module names in one of our packages, sorted, without importing them."""
    folder = Path(__file__).parent.joinpath(*package.split(".")[1:])
    return sorted(
        module.name
        for module in pkgutil.iter_modules([str(folder)])
        if not module.name.startswith("_")
    )


def load(package: str, name: str, what: str) -> ModuleType:
    """Import the entry `name` of `package`.

    Raises OptionError with the nearest names if there is none; `what` is the word for an entry
    ("method").
    """
    names = module_names(package)
    if name not in names:
        raise unknown_name_error(what, name, names)
    return importlib.import_module(f"{package}.{name}")


def unknown_name_error(
    what: str, name: str, names: Iterable[str], error: type[PruneKitError] = OptionError
) -> PruneKitError:
    """The error for a name that does not exist: what was given, the nearest there is, all there are."""
    names = list(names)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return error(f"unknown {what} {name!r}.{hint} There are: {', '.join(names)}")


def literal(path: Path, name: str) -> Any:
    """The value of the constant `name` in a source file, read without running it."""
    for statement in ast.parse(path.read_text("utf-8")).body:
        if isinstance(statement, ast.Assign) and any(
            isinstance(t, ast.Name) and t.id == name for t in statement.targets
        ):
            return ast.literal_eval(statement.value)
    raise AssertionError(f"{path} does not define {name}")


def summary(package: str, name: str) -> str:
    """The first line of an entry's docstring, read without running it."""
    path = Path(__file__).parent.joinpath(*package.split(".")[1:], f"{name}.py")
    return (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").split("\n")[0]
