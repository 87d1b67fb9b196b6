"""The commands that show: demo, reproduce, info, list."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prune_kit_cli import options as o

if TYPE_CHECKING:
    from prune_kit.data.dataset import Dataset
    from prune_kit.experiments.recipe import Recipe, Reproduction
    from prune_kit_cli.views.tables import Screen

DEMO = "digits_demo"


def demo(
    as_json: o.AsJson = False,
    quiet: o.Quiet = False,
    workdir: o.WorkDir = o.DEFAULT_WORKDIR,
) -> None:
    """The whole line on real data, in about a minute: score, select, retrain, export.

    Example: prune-kit demo
    """
    from prune_kit import pipeline
    from prune_kit.experiments import recipe
    from prune_kit_cli.views.tables import Screen, outcome_sentence, outcome_table, outcomes_json, path_of, score_table

    screen = Screen(as_json, quiet)
    done = _reproduce(screen, recipe.load_recipe(DEMO), None, "full", {}, workdir)
    half = done.selections["keep 0.5"]
    target = pipeline.export(half, workdir / DEMO / "keep-half.txt", format="txt")
    windows = [f"   {name}: {selection.describe()}" for name, selection in done.selections.items()]
    screen.result(
        {"outcomes": outcomes_json(done.outcomes), "index_list": target, "kept": len(half.index)},
        "\n1. Ten networks were trained for 20 of 40 epochs; every example was scored by how wrong they are about it",
        score_table(done.table, list(done.table.columns)),
        "\n2. Windows over the sorted scores were selected",
        *windows,
        "\n3. Networks were trained anew: on all rows, on each window, and on random rows of the same number",
        outcome_table(done.outcomes),
        *outcome_sentence(done.outcomes),
        f"\n4. The rows to keep, one number a line, for your own training code: {path_of(target)}",
        f"   rows = numpy.loadtxt({path_of(target)!r}, dtype=int)    # then images[rows], labels[rows]",
        "\nOn your own images: prune-kit score --data folder:DIR, then select, retrain, export (each has --help)",
    )


def reproduce(
    name: Annotated[str, typer.Argument(metavar="NAME|FILE", help="One of `prune-kit list recipes`, or a .toml file.")],
    scale: Annotated[
        str, typer.Option("--scale", metavar="full|smoke", help="smoke: on digits, in about a minute.")
    ] = "full",
    data: o.Data = None,
    device: o.Device = "auto",
    precision: o.Precision = "auto",
    jobs: o.Jobs = None,
    threads: o.Threads = None,
    as_json: o.AsJson = False,
    quiet: o.Quiet = False,
    workdir: o.WorkDir = o.DEFAULT_WORKDIR,
) -> None:
    """Run a recipe, an experiment of a paper, and check what the paper claims.

    Example: prune-kit reproduce data_diet_cifar10 --scale smoke
    """
    from prune_kit.experiments import recipe
    from prune_kit_cli.views.tables import Screen, error_lines, outcome_table, outcomes_json, score_table
    from prune_kit_cli.workdir import execution

    screen = Screen(as_json, quiet)
    where = execution(device, precision, jobs, threads)
    done = _reproduce(screen, recipe.load_recipe(name), data, scale, where, workdir)
    verdicts = [{**vars(expectation), "value": value, "holds": holds} for expectation, value, holds in done.verdicts]
    lines = [
        f"{'holds' if holds else 'does not reproduce'}: {expectation.claim} ({expectation.where}): "
        f"{expectation.check}, measured {value:.3f}"
        for expectation, value, holds in done.verdicts
    ]
    if not done.recipe.expect:
        lines = ["This recipe states no expectation to check."]
    if scale == "smoke":
        lines = [
            "smoke scale: digits, a small network, 10 epochs, 2 seeds. "
            "These figures show that it runs; they mean nothing."
        ]
    names = list(done.table.columns)
    screen.result(
        {"recipe": name, "scale": scale, "outcomes": outcomes_json(done.outcomes), "verdicts": verdicts},
        outcome_table(done.outcomes) if done.outcomes.rows else score_table(done.table, names),
        *error_lines(done.table, names),
        *lines,
    )


def list_(
    what: Annotated[
        str, typer.Argument(metavar="data|models|methods|rules|cuts|formats|recipes", help="What to list.")
    ],
    as_json: o.AsJson = False,
    quiet: o.Quiet = False,
    workdir: o.WorkDir = o.DEFAULT_WORKDIR,
) -> None:
    """List what there is: data sources, models, methods, rules, cuts (of clean), formats, recipes.

    Example: prune-kit list methods
    """
    from prune_kit import pipeline, registry
    from prune_kit.cleaning import judgement
    from prune_kit.experiments import recipe
    from prune_kit.scoring import columns
    from prune_kit_cli.views.tables import Screen, listing

    lists: dict[str, Callable[[], dict[str, str]]] = {
        "data": _data_entries,
        "models": _model_entries,
        "methods": lambda: _entries(columns.SCORERS),
        "rules": lambda: _entries(pipeline.SELECTORS),
        "cuts": lambda: _entries(judgement.CUTS),
        "formats": lambda: _entries(pipeline.EXPORTERS),
        "recipes": lambda: {name: recipe.load_recipe(name).title for name in recipe.recipe_names()},
    }
    if what not in lists:
        raise registry.unknown("list", what, lists)
    entries = lists[what]()
    Screen(as_json, quiet).result({what: entries}, listing(entries))


def _reproduce(
    screen: "Screen",
    chosen: "Recipe",
    data: str | None,
    scale: str,
    where: dict[str, Any],
    workdir: Path,
) -> "Reproduction":
    """Run a recipe in a folder of its own, and write there what its stages would have written."""
    from prune_kit.experiments import recipe
    from prune_kit.storage import lock
    from prune_kit_cli.views.tables import path_of
    from prune_kit_cli.workdir import OUTCOMES, SCORES

    folder = workdir / (chosen.name if scale == "full" else f"{chosen.name}-{scale}")
    lock.hold(folder)

    def announce(loaded: "Dataset", used: "Recipe") -> None:
        screen.note("recipe", f"{used.name}: {used.title}")
        screen.note("data", loaded.describe())
        screen.note("protocol", used.train.describe())

    with screen.progress() as follow:
        done = recipe.reproduce(
            chosen, data=data, scale=scale, workdir=folder, progress=follow, announce=announce, **where
        )  # fmt: skip
    screen.trained(follow.networks)
    done.table.write(folder / SCORES)
    for name, selection in done.selections.items():
        selection.write(folder / _file_of(name))
    written = [SCORES, *(_file_of(name) for name in done.selections)]
    if done.outcomes.rows:
        done.outcomes.write(folder / OUTCOMES)
        written.append(OUTCOMES)
    screen.note("wrote", f"{path_of(folder)}: {', '.join(written)}")
    return done


def _file_of(selection: str) -> str:
    return f"{selection.replace(' ', '-')}.h5"


def _entries(package: str) -> dict[str, str]:
    """Every module of a folder, with what its docstring says after the name."""
    from prune_kit import registry

    return {
        name: registry.summary(package, name).removeprefix(f"{name}: ").rstrip(".")
        for name in registry.module_names(package)
    }


def _data_entries() -> dict[str, str]:
    from prune_kit import registry
    from prune_kit.data.spec import FUNCTION, SOURCES, source_names

    entries = {}
    for name in source_names():
        text = registry.summary(SOURCES, name.replace("-", "_")).rstrip(".")
        entries[name if name == "digits" else f"{name}:PATH"] = text.partition(": ")[2] or text
    return entries | {FUNCTION: "a function of yours that returns a data set"}


def _model_entries() -> dict[str, str]:
    from prune_kit import models

    return {
        f"{name}NAME" if name.endswith(":") else name: text.partition(": ")[2].rstrip(".")
        for name, text in models.model_summaries().items()
    }
