"""The verbs of the main line after score: select, retrain, export.

What a command needs is imported inside it, so that `--help` answers at once.
"""

from pathlib import Path
from typing import Annotated

import typer

from prune_kit_cli import options as o

TIED = 0.01  # from this share of the rows on at the edge of a window, it is said


def select(
    by: o.By = None,
    rule: Annotated[str, typer.Option("--rule", metavar="NAME", help="One of `prune-kit list rules`.")] = "window",
    keep: o.Keep = 0.5,
    offset: o.Offset = None,
    offset_from: o.OffsetFrom = None,
    per_class: o.PerClass = None,
    drop_hardest: o.DropHardest = None,
    suspect_by: o.SuspectBy = None,
    bins: o.Bins = None,
    keep_easy: o.KeepEasy = None,
    seed: Annotated[
        int | None, typer.Option("--seed", metavar="S", help="For --rule random and coverage (default: 0).")
    ] = None,
    scores: Annotated[Path | None, typer.Option("--scores", metavar="FILE", help="Another score table.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Where to write (default: WORKDIR/selection.h5).")
    ] = None,
    as_json: o.AsJson = False,
    quiet: o.Quiet = False,
    workdir: o.WorkDir = o.DEFAULT_WORKDIR,
) -> None:
    """Choose the examples to keep: by default a window over the sorted scores.

    --offset 0.02 skips the 2 % hardest, which are often mislabelled, and --keep 0.5 keeps the next half.

    Example: prune-kit select --by el2n@20 --keep 0.5 --offset 0.02
    """
    from prune_kit import pipeline
    from prune_kit_cli.views.histogram import histogram
    from prune_kit_cli.views.tables import Screen, class_table, path_of
    from prune_kit_cli.workdir import SELECTION, check_target, read_scores, there

    screen, target = Screen(as_json, quiet), out or workdir / SELECTION
    check_target(target, "selection")
    table = read_scores(workdir, scores)
    selection = pipeline.select(
        table, rule=rule, by=by, keep=keep, offset=offset, offset_from=offset_from, per_class=per_class, seed=seed,
        drop_hardest=drop_hardest, suspect_by=suspect_by, bins=bins, keep_easy=keep_easy,
    )  # fmt: skip
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
            f"{tied:,} training rows have the same {selection.column} as the edge of the window: which of them are "
            "kept is decided by their digests, not by the score"
        )
    thin = selection.thin_classes()
    if thin:
        names = ", ".join(thin[:10]) + (f" and {len(thin) - 10} more" if len(thin) > 10 else "")
        classes = "class" if len(thin) == 1 else "classes"
        screen.warn(
            f"less than half of the average share is kept of the {classes} {names}; --per-class keeps the same share "
            "of each"
        )
    if selection.falls_below_random:
        screen.warn(
            "above 70 % pruned, keeping the hardest is known to fall below random (forgetting on CIFAR-10: 95.4 at "
            "30 % pruned, 34.0 at 90 %; Zheng et al. 2023). Try --rule coverage"
        )
    again = f"{f' --selection {path_of(out)}' if out else ''}{there(workdir)}"
    screen.note("next", f"prune-kit retrain{again}   (does accuracy hold?)")
    screen.note("", f"prune-kit export{again} --format txt")


def retrain(
    selection: o.Selections = None,
    data: o.DataAgain = None,
    trust: o.Trust = False,
    align: Annotated[
        bool,
        typer.Option(
            "--align",
            help="Match the rows by content where the data has another order, more or fewer rows. Rows that a "
            "selection does not know are left out; a removal lets them stay.",
        ),
    ] = False,
    runs: Annotated[int, typer.Option("--runs", metavar="R", help="Seeds per selection.")] = 4,
    baseline: o.Baseline = "full,random",
    budget: o.Budget = "steps",
    relabel: Annotated[
        bool,
        typer.Option("--relabel", help="For each removal train on all rows too, under the labels that it suggests."),
    ] = False,
    seed: Annotated[int | None, typer.Option("--seed", metavar="S", help="The first seed (default: 1000).")] = None,
    model: o.Model = None,
    recipe: o.Recipe = None,
    train: o.Train = None,
    device: o.Device = "auto",
    precision: o.Precision = "auto",
    jobs: o.Jobs = None,
    threads: o.Threads = None,
    as_json: o.AsJson = False,
    quiet: o.Quiet = False,
    workdir: o.WorkDir = o.DEFAULT_WORKDIR,
) -> None:
    """Does accuracy hold? Train on the selection, on all data and on random subsets of the same size, and compare.

    Without --selection, every selection and removal in the workdir; a removal is trained without the rows on its list.
    Accuracies are those of the last epoch on the test set, whose labels nothing changes.

    Example: prune-kit retrain --runs 4
    """
    from prune_kit import pipeline
    from prune_kit.checks import check_seeds
    from prune_kit.results.reloading import aligned, load_again
    from prune_kit.storage import lock
    from prune_kit_cli.views.tables import Screen, outcome_sentence, outcome_table, outcomes_json, path_of
    from prune_kit_cli.workdir import (
        OUTCOMES,
        execution,
        protocol,
        read_selections,
        tell_chance,
        tell_data,
        tell_replaced,
        there,
    )

    screen, target = Screen(as_json, quiet), workdir / OUTCOMES
    check_seeds(runs, seed)
    where = execution(device, precision, jobs, threads, train)
    lock.hold(workdir)
    selections = read_selections(workdir, selection)
    first = next(iter(selections.values()))
    with screen.progress() as follow:
        loaded = load_again(first.rows, data, trust=trust, progress=follow)
        if align:
            loaded, selections = aligned(loaded, selections)
            first = next(iter(selections.values()))
        tell_data(screen, loaded, first.rows)
        config = protocol(loaded, first.scored_with, recipe, model, train)
        screen.note("protocol", f"{config.describe()}; the same number of {budget} for every set")
        outcomes = pipeline.retrain(
            loaded,
            selections,
            runs=runs,
            baseline=[] if baseline == "none" else [word for word in baseline.split(",") if word],
            budget=budget,
            relabel=relabel,
            config=config,
            seed=seed,
            **where,
            workdir=workdir,
            progress=follow,
        )
    screen.trained(follow.networks)
    tell_replaced(screen, target, outcomes)
    outcomes.write(target)
    screen.result(
        {"file": target, "budget": budget, "outcomes": outcomes_json(outcomes)},
        outcome_table(outcomes),
        *outcome_sentence(outcomes),
    )
    tell_chance(screen, loaded, outcomes)
    screen.note("wrote", path_of(target))
    screen.note("next", f"prune-kit export --format txt{there(workdir)}")


def export(
    selection: Annotated[
        Path | None, typer.Option("--selection", metavar="FILE", help="The selection or removal to write out.")
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(
            "--format", metavar="NAME", help="txt, npy, json, csv or parquet (default: as --out ends, or txt)."
        ),
    ] = None,
    what: Annotated[
        str | None,
        typer.Option("--what", metavar="keep|drop", help="Which rows (default: keep; csv and parquet list all)."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="PATH", help="Where to write (default: in the workdir).")
    ] = None,
    relabel: Annotated[
        Path | None,
        typer.Option(
            "--relabel",
            metavar="FILE",
            help="Write no list, but the labels of all rows with a removal's clear suggestions put in: .npy or .csv.",
        ),
    ] = None,
    as_json: o.AsJson = False,
    quiet: o.Quiet = False,
    workdir: o.WorkDir = o.DEFAULT_WORKDIR,
) -> None:
    """Write the index list for anybody's training code. An index is the row number in the source itself.

    A removal stands for its complement: --what keep is the cleaned data, --what drop the rows on the list, ascending.

    Example: prune-kit export --format txt
    """
    from prune_kit import exporters, pipeline
    from prune_kit.errors import OptionError
    from prune_kit.results.removal import Removal, as_selection
    from prune_kit_cli.views.removal import relabelled_json, relabelled_sentence
    from prune_kit_cli.views.tables import Screen, path_of
    from prune_kit_cli.workdir import OUTCOMES, check_list_target, one_selection, retrained_otherwise

    screen = Screen(as_json, quiet)
    source, chosen = one_selection(workdir, selection)
    check_list_target(relabel or out, source)
    if relabel:
        if out:
            raise OptionError("--relabel FILE says where the labels go, and no list is written; leave out --out")
        target = pipeline.export(chosen, relabel, format=format, what=what, relabel=True)
        assert isinstance(chosen, Removal)
        screen.result(
            {"file": target, **relabelled_json(chosen)},
            f"wrote {path_of(target)}: {relabelled_sentence(chosen)}",
        )
        return
    format = format or (exporters.format_of(out) if out else None) or "txt"
    whole = "-rows" if isinstance(chosen, Removal) else ""  # the bare name with .csv is the removal's own list
    kept = as_selection(chosen)
    target = pipeline.export(
        kept, out or exporters.export_path(workdir / source.stem, format, what, whole), format=format, what=what
    )
    screen.result(
        {"file": target, "format": format, "what": what, "kept": len(kept.index), "dropped": len(kept.dropped)},
        f"wrote {path_of(target)}: {exporters.export_sentence(kept, format, what)}",
    )
    if retrained_otherwise(workdir, source, kept):
        screen.warn(f"{OUTCOMES} is of other rows: {path_of(source)} was made anew after it was retrained")
