"""The command select: which examples are kept."""

from pathlib import Path
from typing import Annotated, Any

from prune_kit import registry
from prune_kit_cli import options as o
from prune_kit_cli.method_options import takes_options_of


@takes_options_of(registry.SELECTORS, "rule", panel=o.SELECTION, first=o.DEFAULT_RULE)
def select(
    by: o.By = None,
    rule: Annotated[
        str, o.option(o.SELECTION, "--rule", metavar="NAME", help="One of `prune-kit list rules`.")
    ] = o.DEFAULT_RULE,
    keep: o.Keep = 0.5,
    scores: o.ScoresFile = None,
    out: Annotated[
        Path | None,
        o.option(
            o.OUTPUT,
            "--out",
            metavar="FILE",
            help="Where to write (default: WORKDIR/selection.h5).",
        ),
    ] = None,
    as_json: o.AsJson = False,
    quiet: o.Quiet = False,
    workdir: o.WorkDir = o.DEFAULT_WORKDIR,
    **options: Any,
) -> None:
    """Choose the examples to keep: by default a window over the sorted scores.

    --offset 0.02 skips the 2 % hardest, which are often mislabelled. --keep 0.5 keeps the next
    half.

    Example: prune-kit select --by el2n@20 --keep 0.5 --offset 0.02
    """
    from prune_kit import pipeline
    from prune_kit.results.ranking import TIED
    from prune_kit_cli.views.histogram import histogram
    from prune_kit_cli.views.tables import Screen, class_table, gone_sentence, path_of
    from prune_kit_cli.workdir import SELECTION, check_target, read_scores, workdir_words

    screen, target = Screen(as_json, quiet), out or workdir / SELECTION
    check_target(target, "selection")
    table = read_scores(workdir, scores)
    selection = pipeline.select(table, rule=rule, by=by, keep=keep, **options)
    selection.write(target)
    shares = dict(zip(selection.rows.class_names, selection.class_shares(), strict=True))
    screen.result(
        {
            "file": target,
            "rule": selection.rule,
            "parameters": selection.parameters,
            "column": selection.column,
            "kept": len(selection.index),
            "dropped": len(selection.dropped),
            "class_shares": shares,
            "description": selection.describe(),
        },
        selection.describe(),
        *filter(None, [histogram(selection)]),
        class_table(selection),
    )
    screen.note("wrote", path_of(target))
    tied = selection.tied_at_the_edges()
    if tied > TIED * len(selection.rows.training):
        screen.warn(
            f"{tied:,} training rows have the same {selection.column} as the edge of the window: "
            "which of them are kept is decided by a fixed order of the images, not by the score"
        )
    gone = gone_sentence(selection.gone_classes())
    if gone:
        screen.warn(f"{gone}; --per-class keeps the same share of each class")
    thin = selection.thin_classes()
    if thin:
        names = ", ".join(thin[:10]) + (f" and {len(thin) - 10} more" if len(thin) > 10 else "")
        classes = "class" if len(thin) == 1 else "classes"
        screen.warn(
            f"less than half of the average share is kept of the {classes} {names}; --per-class "
            "keeps the same share of each"
        )
    if selection.falls_below_random:
        screen.warn(
            "above 70 % pruned, keeping the hardest is known to fall below random (forgetting on "
            "CIFAR-10: 95.4 at 30 % pruned, 34.0 at 90 %; Zheng et al. 2023). Try --rule coverage"
        )
    again = f"{f' --selection {path_of(out)}' if out else ''}{workdir_words(workdir)}"
    screen.note("next", f"prune-kit retrain{again}   (does accuracy hold?)")
    screen.note("", f"prune-kit export{again} --format txt")
