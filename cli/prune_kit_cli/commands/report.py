"""The command `report`: all that a workdir holds, as one HTML page."""

import os
from pathlib import Path
from typing import Annotated, Any

from prune_kit_cli import options as o


def report(
    data: o.DataAgain = None,
    trust: o.Trust = False,
    out: Annotated[
        Path | None,
        o.option(
            o.OUTPUT, "--out", metavar="FILE", help="Where to write (default: WORKDIR/report.html)."
        ),
    ] = None,
    figures: Annotated[
        Path | None,
        o.option(
            o.OUTPUT,
            "--figures",
            metavar="FOLDER",
            help="Write the figures (PNG, SVG) and whole tables (CSV), too.",
        ),
    ] = None,
    per_class: Annotated[
        int,
        o.option(
            o.OUTPUT, "--per-class", metavar="N", help="Images of each end of a class; 0 for none."
        ),
    ] = 5,
    as_json: o.AsJson = False,
    quiet: o.Quiet = False,
    workdir: o.WorkDir = o.DEFAULT_WORKDIR,
) -> None:
    """Draw all that the workdir holds into one HTML page, to look at, send or print.

    It shows the data, each score with its hardest and easiest images, what was selected, which
    labels are suspected, what retraining proved, and where everything comes from. What is not there
    yet is left out. It trains nothing.

    Example: prune-kit report --figures figures
    """
    from prune_kit import pipeline
    from prune_kit.errors import OptionError
    from prune_kit.results.outcomes import Outcomes
    from prune_kit.results.removal import Removal
    from prune_kit.results.selection import Selection
    from prune_kit.results.table import ScoreTable
    from prune_kit.storage import files
    from prune_kit_cli.loading import loaded_again
    from prune_kit_cli.views.tables import Screen, path_of
    from prune_kit_cli.workdir import (
        OUTCOMES,
        REMOVAL,
        REPORT,
        RUNS,
        SCORES,
        SELECTION,
        SWEEP,
        TUNE,
        tell_data,
    )

    screen, target = Screen(as_json, quiet), out or workdir / REPORT
    if target.suffix not in (".html", ".htm"):
        raise OptionError(f"--out {target}: expected a name that ends in .html")
    files.target_of(target)
    if figures is not None and os.path.lexists(figures) and not figures.is_dir():
        raise OptionError(f"--figures {figures} is there already, and is no folder; name another")
    table = ScoreTable.read(workdir / SCORES, extras=("per_run", "per_ratio", "per_ratio_votes"))
    sources = {"table": workdir / SCORES}
    results: dict[str, Any] = {}
    left_out: dict[str, str] = {}
    readers: dict[str, tuple[Any, str, str]] = {
        "selection": (Selection, SELECTION, "select"),
        "removal": (Removal, REMOVAL, "clean"),
        "outcomes": (Outcomes, OUTCOMES, "retrain"),
        "sweep": (Outcomes, SWEEP, "sweep"),
        "search": (Outcomes, TUNE, "tune"),
    }
    for name, (kind, file, command) in readers.items():
        if (workdir / file).exists():
            results[name] = kind.read(workdir / file)
            sources[name] = workdir / file
        else:
            left_out[name] = f"no {name}: there is no {file}, which prune-kit {command} writes"
    with screen.progress() as follow:
        loaded = loaded_again(screen, workdir, table.rows, data, trust=trust, progress=follow)
    tell_data(screen, loaded, table.rows)
    page = pipeline.report(
        loaded,
        table=table,
        **results,
        runs=workdir / RUNS,
        per_class=per_class,
        figures=figures,
        sources=sources,
    ).encode()
    files.write_bytes(target, page)
    for text in left_out.values():
        screen.note("left out", text)
    screen.result({"file": target, "bytes": len(page), "figures": figures, "shown": list(sources),
                   "left_out": list(left_out)})  # fmt: skip
    screen.note("wrote", f"{path_of(target)} ({len(page) / 1e6:.2f} MB)")
    if figures is not None:
        screen.note("wrote", f"the figures and tables to {path_of(figures)}")
