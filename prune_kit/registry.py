"""The folder is the registry: every module of a package is one entry, named as the user writes it.

`cumulative_pl.py` is the method `cumulative_pl`, `fashion_mnist.py` the source `fashion-mnist`.
Names, summaries and options are read from the sources without running them. Only the entry that is
used is imported.

An entry declares its own options in the constant OPTIONS, above its first function::

    OPTIONS = {
        "bins": {"type": "int", "default": 50, "minimum": 1, "metavar": "B", "help": "..."},
        "per_class": "shared",
    }

The keys of an option are the fields of `Option`. An option that several entries take is described
once, in SHARED_OPTIONS of the package's `__init__.py`: "shared" stands for that description, and
any field that an entry leaves out is taken from it. The flags of the command line, the keys of
recipes, the checks and the refusals are made from these declarations.
"""

import ast
import difflib
import importlib
import pkgutil
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from prune_kit.errors import OptionError, PruneKitError

# the packages whose folders are registries
SCORERS = "prune_kit.scorers"
SELECTORS = "prune_kit.selectors"
CUTS = "prune_kit.cleaning.cuts"
EXPORTERS = "prune_kit.exporters"
SOURCES = "prune_kit.data.sources"

WORDS_OF_TYPES = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "bool": "true or false",
    "list[int]": "a list of whole numbers",
}


@dataclass(frozen=True)
class Option:
    """An option that an entry takes besides those that every entry of its package takes.

    Attributes
    ----------
    name
        The keyword in Python. The flag is `--name`, with dashes.
    type
        One of "int", "float", "str", "bool" and "list[int]".
    help
        One sentence for the user. The default is added to it.
    default
        The value when nobody gives one. None means that the entry finds one itself.
    metavar
        What stands for the value in the help, such as "K".
    choices
        The values that there are, for an option of type "str". Empty means any.
    minimum
        The least value of a number.
    """

    name: str
    type: str
    help: str
    default: Any = None
    metavar: str | None = None
    choices: tuple[str, ...] = ()
    minimum: int | None = None

    def checked(self, value: Any) -> Any:
        """The value, a list as a tuple.

        Raises
        ------
        OptionError
            If the value is of another type, is not among the choices or is below the minimum.
        """
        if not _is_of_type(value, self.type):
            raise OptionError(
                f"{self.name}={value!r} does not fit; expected {WORDS_OF_TYPES[self.type]}"
            )
        if self.choices and value not in self.choices:
            raise unknown_name_error(f"`{self.name}`", value, self.choices)
        if self.minimum is not None and not value >= self.minimum:  # `not` refuses NaN, too
            raise OptionError(f"{self.name}={value} is out of range; at least {self.minimum}")
        return tuple(value) if self.type == "list[int]" else value


def flag(name: str) -> str:
    """The flag of a keyword: `--drop-hardest` of `drop_hardest`."""
    return f"--{name.replace('_', '-')}"


def module_names(package: str) -> list[str]:
    """The names of the modules in one of our packages, sorted. Imports none of them."""
    return sorted(
        module.name
        for module in pkgutil.iter_modules([str(_folder(package))])
        if not module.name.startswith("_")
    )


def load(package: str, name: str, what: str) -> Any:
    """Import an entry. It is a module that has what the protocol of its package says.

    Parameters
    ----------
    package
        The full name of the package, such as "prune_kit.scorers".
    name
        The name of the entry.
    what
        The word for an entry of this package, such as "method".

    Raises
    ------
    OptionError
        If there is no such entry. The message has the nearest name and all names.
    """
    names = module_names(package)
    if name not in names:
        raise unknown_name_error(what, name, names)
    return importlib.import_module(f"{package}.{name}")


def unknown_name_error(
    what: str, name: str, names: Iterable[str], error: type[PruneKitError] = OptionError
) -> PruneKitError:
    """The error for a name that does not exist.

    It says what was given, the nearest name that exists, and all names that exist.

    Parameters
    ----------
    what
        The word for what was named, such as "method".
    name
        The name that was given.
    names
        The names that exist.
    error
        The class of the error.
    """
    names = list(names)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return error(f"unknown {what} {name!r}.{hint} There are: {', '.join(names)}")


def literal(path: Path, name: str) -> Any:
    """The value of a constant that a source file must have, read without running it.

    The constant must stand above the first function or class of the file.
    """
    value = _literal(path, name)
    assert value is not None, f"{path} does not define {name} above its first function"
    return value


def summary(package: str, name: str) -> str:
    """The first line of an entry's docstring, read without running it."""
    docstring = ast.get_docstring(_head(_folder(package) / f"{name}.py")) or ""
    return docstring.split("\n")[0]


@cache
def entry_options(package: str, name: str) -> Mapping[str, Option]:
    """The options that an entry takes, in the order in which it declares them.

    An entry that does not exist takes none.
    """
    path = _folder(package) / f"{name}.py"
    if not path.is_file():
        return {}
    declared = _literal(path, "OPTIONS") or {}
    shared = (_literal(path.with_name("__init__.py"), "SHARED_OPTIONS") or {}) if declared else {}
    options = {}
    for option, own in declared.items():
        fields = {} if own == "shared" else own
        options[option] = Option(name=option, **{**shared.get(option, {}), **fields})
    return options


@cache
def package_options(package: str) -> Mapping[str, Mapping[str, Option]]:
    """For each option of a package the entries that take it, each with its declaration.

    Entries may differ in the default of an option. In everything else they must agree, since the
    option has one flag.
    """
    takers: dict[str, dict[str, Option]] = {}
    for entry in module_names(package):
        for name, option in entry_options(package, entry).items():
            others = takers.setdefault(name, {})
            for other, declared in others.items():
                assert replace(declared, default=None) == replace(option, default=None), (
                    f"{other} and {entry} of {package} declare {name} in two ways"
                )
            others[entry] = option
    return takers


def defaults(package: str, entry: str) -> dict[str, Any]:
    """The default of each option of an entry."""
    return {name: option.default for name, option in entry_options(package, entry).items()}


def chosen_options(
    package: str, what: str, entries: Sequence[str], given: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """The value of each option of each entry: the one given, else the default. Imports no entry.

    Parameters
    ----------
    package
        The full name of the package.
    what
        The word for an entry of this package, such as "method".
    entries
        The entries that are used.
    given
        The options that the user gave, by name.

    Raises
    ------
    OptionError
        If there is no such entry, if none of the entries takes an option that was given, or if a
        value does not fit.
    """
    names = module_names(package)
    for entry in entries:
        if entry not in names:
            raise unknown_name_error(what, entry, names)
    own = {entry: entry_options(package, entry) for entry in entries}
    for name in given:
        if not any(name in options for options in own.values()):
            raise _not_taken_error(package, what, own, name)
    return {
        entry: {
            name: option.checked(given[name]) if name in given else option.default
            for name, option in options.items()
        }
        for entry, options in own.items()
    }


def _not_taken_error(
    package: str, what: str, own: Mapping[str, Mapping[str, Option]], name: str
) -> OptionError:
    """The error for an option that is given to entries that do not take it."""
    names = dict.fromkeys(f"`{option}`" for options in own.values() for option in options)
    taken = f"; it takes {', '.join(names)}" if names else ""
    takers = package_options(package).get(name)
    others = f". `{name}` is for {what}={','.join(takers)!r}" if takers else ""
    return OptionError(f"{what}={','.join(own)!r} takes no `{name}`{taken}{others}")


def _is_of_type(value: Any, type_: str) -> bool:
    if type_ == "list[int]":
        return isinstance(value, list | tuple) and all(_is_of_type(part, "int") for part in value)
    if isinstance(value, bool):
        return type_ == "bool"
    kinds = {"int": Integral, "float": Real, "str": str, "bool": bool}
    return isinstance(value, kinds[type_])


def _folder(package: str) -> Path:
    return Path(__file__).parent.joinpath(*package.split(".")[1:])


def _literal(path: Path, name: str) -> Any:
    """The value of a constant, None where the file has none of that name."""
    for statement in _head(path).body:
        if isinstance(statement, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == name for target in statement.targets
        ):
            return ast.literal_eval(statement.value)
    return None


@cache
def _head(path: Path) -> ast.Module:
    """What stands above the first function or class: to parse all would take five times as long."""
    source = path.read_text("utf-8")
    return ast.parse(re.split(r"\n\n\n(?=def |class |@)", source, maxsplit=1)[0])
