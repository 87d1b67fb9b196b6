"""The command demo: the whole line on real data."""

from prune_kit_cli import options as o
from prune_kit_cli.commands.reproduce import _reproduce

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
    from prune_kit.results.claims import claims
    from prune_kit_cli.views.tables import (
        Screen,
        outcome_table,
        outcomes_json,
        path_of,
        score_table,
    )

    screen = Screen(as_json, quiet)
    done = _reproduce(screen, recipe.load_recipe(DEMO), None, "full", None, workdir)
    half = done.selections["keep 0.5"]
    target = pipeline.export(half, workdir / DEMO / "keep-half.txt", format="txt")
    windows = [f"   {name}: {selection.describe()}" for name, selection in done.selections.items()]
    screen.result(
        {"outcomes": outcomes_json(done.outcomes), "index_list": target, "kept": len(half.index)},
        "\n1. Ten networks were trained for 20 of 40 epochs; every example was scored by how "
        "wrong they are about it",
        score_table(done.table, list(done.table.columns)),
        "\n2. Windows over the sorted scores were selected",
        *windows,
        "\n3. Networks were trained anew: on all rows, on each window, and on random rows of the "
        "same number",
        outcome_table(done.outcomes),
        *claims(done.outcomes),
        f"\n4. The rows to keep, one number a line, for your own training code: {path_of(target)}",
        f"   rows = numpy.loadtxt({path_of(target)!r}, dtype=int)    # then images[rows], "
        "labels[rows]",
        "\nOn your own images: prune-kit score --data folder:DIR, then select, retrain, export "
        "(each has --help)",
    )
