"""The command export: index lists for other people's training code."""

from pathlib import Path
from typing import Annotated, Any

from prune_kit import registry
from prune_kit_cli import options as o
from prune_kit_cli.method_options import takes_options_of


@takes_options_of(registry.EXPORTERS, "format", panel=o.EXPORT)
def export(
    selection: Annotated[
        Path | None,
        o.option(o.DATA, "--selection", metavar="FILE", help="The selection or removal to write."),
    ] = None,
    format: Annotated[
        str | None,
        o.option(
            o.EXPORT,
            "--format",
            metavar="NAME",
            help="txt, npy, json, csv, parquet, files, folder or hf: see `prune-kit list formats` "
            "(default: as --out ends, or txt).",
        ),
    ] = None,
    what: Annotated[
        str | None,
        o.option(
            o.EXPORT,
            "--what",
            metavar="KIND",
            help="Which rows: keep or drop (default: keep; csv and parquet list all).",
        ),
    ] = None,
    relabel: Annotated[
        Path | None,
        o.option(
            o.EXPORT,
            "--relabel",
            metavar="FILE",
            help="Write no list, but the labels of all rows, with a removal's clear suggestions: "
            ".npy or .csv.",
        ),
    ] = None,
    out: Annotated[
        str | None,
        o.option(
            o.OUTPUT,
            "--out",
            metavar="FILE",
            help="Where to write (default: in the workdir). In a folder, such as lists/, a file "
            "has its usual name.",
        ),
    ] = None,
    as_json: o.AsJson = False,
    quiet: o.Quiet = False,
    workdir: o.WorkDir = o.DEFAULT_WORKDIR,
    **options: Any,
) -> None:
    """Write the list of rows for your own training code. An index is a row number of the source.

    A removal stands for its complement: --what keep is the cleaned data, --what drop the rows on
    the list, ascending.

    Of a folder of images, files has one path a line, and folder is a tree CLASS/FILE of links,
    which torchvision's ImageFolder reads. hf is such a tree with a metadata.csv, for
    load_dataset("imagefolder", data_dir=OUT); of other data it is indices.json, for Dataset.select.

    Example: prune-kit export --format txt
    """
    from prune_kit import exporters, pipeline
    from prune_kit.errors import OptionError
    from prune_kit.results.removal import Removal, as_selection
    from prune_kit_cli.views.removal import relabelled_json, relabelled_sentence
    from prune_kit_cli.views.tables import Screen, path_of
    from prune_kit_cli.workdir import (
        OUTCOMES,
        check_list_target,
        one_selection,
        retrained_otherwise,
    )

    screen = Screen(as_json, quiet)
    source, chosen = one_selection(workdir, selection)
    if relabel:
        check_list_target(relabel, source)
        if out:
            raise OptionError(
                "--relabel FILE says where the labels go, and no list is written; leave out --out"
            )
        target = pipeline.export(chosen, relabel, format=format, what=what, relabel=True, **options)
        assert isinstance(chosen, Removal)
        screen.result(
            {"file": target, **relabelled_json(chosen)},
            f"wrote {path_of(target)}: {relabelled_sentence(chosen)}",
        )
        return
    format = format or (exporters.format_of(Path(out)) if out else None) or "txt"
    # the bare name with .csv is the removal's own list
    whole = "-rows" if isinstance(chosen, Removal) else ""
    target = exporters.export_path(workdir / source.stem, format, what, whole)
    if out:
        target = exporters.target_of(out, target, format)
        if not exporters.writes_folder(format):
            check_list_target(target, source)
    pipeline.export(chosen, target, format=format, what=what, **options)
    kept = as_selection(chosen)
    screen.result(
        {
            "file": target,
            "format": format,
            "what": what,
            "kept": len(kept.index),
            "dropped": len(kept.dropped),
        },
        f"wrote {path_of(target)}: {exporters.export_sentence(kept, format, what)}",
    )
    if retrained_otherwise(workdir, source, kept):
        screen.warn(
            f"{OUTCOMES} is of other rows: {path_of(source)} was made anew after it was retrained"
        )
