"""The command `compare`: how far rankings agree, and how many runs are enough."""

from pathlib import Path
from typing import Annotated

from prune_kit.comparison import ENOUGH
from prune_kit_cli import options as o

COMPARISON = "Comparison"
SOURCE = "A score table, FILE.h5 or FILE.h5:COLUMN, or published scores (npz, npy, csv)"


def compare(
    a: Annotated[
        str | None,
        o.argument("A", f"{SOURCE}; default: the table of the workdir."),
    ] = None,
    b: Annotated[
        str | None,
        o.argument(
            "B", "Another; left out, A's columns with each other, or the one with all others."
        ),
    ] = None,
    align: Annotated[
        bool,
        o.option(o.DATA, "--align", help="Match the rows by content; joins relabelled tables too."),
    ] = False,
    harder: Annotated[
        str,
        o.option(
            o.DATA,
            "--harder",
            metavar="END",
            help="Which published scores mean harder examples: higher or lower.",
        ),
    ] = "lower",
    top: Annotated[
        float,
        o.option(
            COMPARISON,
            "--top",
            metavar="F",
            help="The share that counts as the hardest, and as the easiest.",
        ),
    ] = 0.1,
    bootstrap: Annotated[
        int,
        o.option(
            COMPARISON,
            "--bootstrap",
            metavar="B",
            help="Resamples behind the intervals; 0 for no intervals.",
        ),
    ] = 200,
    enough: Annotated[
        float,
        o.option(
            COMPARISON,
            "--enough",
            metavar="RHO",
            help="The rank correlation that two independent means must reach.",
        ),
    ] = ENOUGH,
    seed: Annotated[
        int,
        o.option(
            COMPARISON,
            "--seed",
            metavar="S",
            help="The seed of the resamples and of the splits of runs.",
        ),
    ] = 0,
    picture: Annotated[
        Path | None,
        o.option(
            o.OUTPUT, "--picture", metavar="FILE", help="Draw it: a name that ends in .png or .svg."
        ),
    ] = None,
    as_json: o.AsJson = False,
    quiet: o.Quiet = False,
    workdir: o.WorkDir = o.DEFAULT_WORKDIR,
) -> None:
    """Do two scores call the same examples hard? And how many runs make a score stable?

    Compares columns of score tables with each other, or with published scores, by rank: Spearman,
    Kendall, and the share of the hardest and of the easiest examples that two have in common.

    Example: prune-kit compare scores.h5:el2n@20 cifar10-cscores.npz
    """
    from prune_kit import pipeline
    from prune_kit_cli.views.comparison import files_line, shown
    from prune_kit_cli.views.tables import Screen, path_of
    from prune_kit_cli.workdir import SCORES

    screen = Screen(as_json, quiet)
    if picture is not None:
        from prune_kit.reporting.figures import comparison as figure

        figure.check_picture(picture)
    comparison = pipeline.compare(
        a or workdir / SCORES,
        b,
        top=top,
        bootstrap=bootstrap,
        enough=enough,
        harder=harder,
        align=align,
        seed=seed,
    )
    screen.note("compared", files_line(comparison))
    for note in comparison.notes:
        screen.note("", note)
    if picture is not None:
        figure.draw_comparison(comparison, picture)
    screen.result(comparison.values() | {"harder": harder, "picture": picture}, *shown(comparison))
    if picture is not None:
        screen.note("wrote", path_of(picture))
