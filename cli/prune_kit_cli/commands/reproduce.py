"""The command reproduce: a recipe, and whether its claims hold."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from prune_kit_cli import options as o

if TYPE_CHECKING:
    from prune_kit.data.dataset import Dataset
    from prune_kit.experiments.recipe import Recipe, Reproduction
    from prune_kit.protocol.execution import Execution
    from prune_kit_cli.views.tables import Screen


def reproduce(
    name: Annotated[
        str,
        o.argument("NAME|FILE", "One of `prune-kit list recipes`, or a .toml file."),
    ],
    data: o.Data = None,
    scale: Annotated[
        str,
        o.option(
            o.TRAINING,
            "--scale",
            metavar="NAME",
            help="full, or smoke: the same steps on digits, in about a minute.",
        ),
    ] = "full",
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
    from prune_kit.protocol.execution import Execution
    from prune_kit.results.claims import claims
    from prune_kit_cli.screen import count_of
    from prune_kit_cli.views.tables import (
        Screen,
        error_lines,
        outcome_table,
        outcomes_json,
        score_table,
    )

    screen = Screen(as_json, quiet)
    execution = Execution(device=device, precision=precision, jobs=jobs, threads=threads)
    done = _reproduce(screen, recipe.load_recipe(name), data, scale, execution, workdir)
    verdicts = [
        {**vars(expectation), "value": value, "holds": holds}
        for expectation, value, holds in done.verdicts
    ]
    lines = [
        f"{'holds' if holds else 'does not reproduce'}: {expectation.claim} ({expectation.where}): "
        f"{expectation.check}, measured {value:.3f}"
        for expectation, value, holds in done.verdicts
    ]
    if not done.recipe.expect:
        lines = ["This recipe states no expectation to check."]
    if scale == "smoke":
        lines = [
            f"smoke scale: digits, a small network, {count_of(recipe.SMOKE_EPOCHS, 'epoch')}, "
            f"{count_of(recipe.SMOKE_RUNS, 'seed')}. "
            "These figures show that it runs; they mean nothing."
        ]
    names = list(done.table.columns)
    screen.result(
        {
            "recipe": name,
            "scale": scale,
            "outcomes": outcomes_json(done.outcomes),
            "verdicts": verdicts,
        },
        outcome_table(done.outcomes) if done.outcomes.rows else score_table(done.table, names),
        *error_lines(done.table, names),
        *(claims(done.outcomes) if scale == "full" else []),
        *lines,
    )


def _reproduce(
    screen: "Screen",
    chosen: "Recipe",
    data: str | None,
    scale: str,
    execution: "Execution | None",
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
            chosen, data=data, scale=scale, workdir=folder, progress=follow, announce=announce,
            execution=execution,
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
