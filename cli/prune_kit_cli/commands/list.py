"""The command list: data sources, models, methods, rules, cuts, formats, recipes."""

from collections.abc import Callable
from typing import Annotated

from prune_kit_cli import options as o


def list_(
    what: Annotated[
        str,
        o.argument("data|models|methods|rules|cuts|formats|recipes", "What to list."),
    ],
    as_json: o.AsJson = False,
    quiet: o.Quiet = False,
    workdir: o.WorkDir = o.DEFAULT_WORKDIR,
) -> None:
    """List what there is: data sources, models, methods, rules, cuts (of clean), formats, recipes.

    Example: prune-kit list methods
    """
    from prune_kit import registry
    from prune_kit.experiments import recipe
    from prune_kit_cli.views.tables import Screen, listing

    lists: dict[str, Callable[[], dict[str, str]]] = {
        "data": _data_entries,
        "models": _model_entries,
        "methods": lambda: _entries(registry.SCORERS),
        "rules": lambda: _entries(registry.SELECTORS),
        "cuts": lambda: _entries(registry.CUTS),
        "formats": lambda: _entries(registry.EXPORTERS),
        "recipes": lambda: {name: recipe.load_recipe(name).title for name in recipe.recipe_names()},
    }
    if what not in lists:
        raise registry.unknown_name_error("list", what, lists)
    entries = lists[what]()
    Screen(as_json, quiet).result({what: entries}, listing(entries))


def _entries(package: str) -> dict[str, str]:
    """Every module of a folder, with what its docstring says after the name."""
    from prune_kit import registry

    return {
        name: registry.summary(package, name).removeprefix(f"{name}: ").rstrip(".")
        for name in registry.module_names(package)
    }


def _data_entries() -> dict[str, str]:
    from prune_kit import registry
    from prune_kit.data.spec import FUNCTION, source_names

    entries = {}
    for name in source_names():
        text = registry.summary(registry.SOURCES, name.replace("-", "_")).rstrip(".")
        entries[name if name == "digits" else f"{name}:PATH"] = text.partition(": ")[2] or text
    return entries | {FUNCTION: "a function of yours that returns a data set"}


def _model_entries() -> dict[str, str]:
    from prune_kit import models

    return {
        f"{name}NAME" if name.endswith(":") else name: text.partition(": ")[2].rstrip(".")
        for name, text in models.model_summaries().items()
    }
