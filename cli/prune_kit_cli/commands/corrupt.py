"""The command corrupt: wrong labels, planted on purpose."""

from pathlib import Path
from typing import Annotated, Any

from prune_kit import registry
from prune_kit_cli import options as o
from prune_kit_cli.method_options import takes_options_of


@takes_options_of(registry.SOURCES, "data", panel=o.DATA)
def corrupt(
    data: o.Data = None,
    kind: Annotated[
        str,
        o.option(
            o.LABELS, "--kind", metavar="NAME", help="uniform, permute, flip, pair or matrix."
        ),
    ] = "uniform",
    rate: Annotated[
        float | None,
        o.option(
            o.LABELS,
            "--rate",
            metavar="F",
            help="The share of the training rows to touch (default: 0.2).",
        ),
    ] = None,
    matrix: Annotated[
        Path | None,
        o.option(
            o.LABELS,
            "--matrix",
            metavar="FILE",
            help="npy, csv or text: row c holds the probability of each label for c.",
        ),
    ] = None,
    seed: Annotated[
        int, o.option(o.LABELS, "--seed", metavar="S", help="What is drawn depends on it alone.")
    ] = 0,
    out: Annotated[
        Path | None,
        o.option(
            o.OUTPUT, "--out", metavar="FILE", help="Where to write (default: WORKDIR/labels.h5)."
        ),
    ] = None,
    as_json: o.AsJson = False,
    quiet: o.Quiet = False,
    workdir: o.WorkDir = o.DEFAULT_WORKDIR,
    **options: Any,
) -> None:
    """Plant wrong labels, to study noise. Writes a file for `score --labels`, with the true labels.

    uniform draws from all classes, so that some labels stay right. flip draws from the other
    classes. pair takes the next class. permute keeps the total of every class. matrix draws from
    your transition matrix. Rows held out as test keep their labels.

    Example: prune-kit corrupt --data mnist:DIR --kind flip --rate 0.25
    """
    from prune_kit.checks import check_seeds
    from prune_kit.data.noise import plant, read_matrix
    from prune_kit_cli.loading import loaded, tell_notes
    from prune_kit_cli.views.tables import Screen, path_of
    from prune_kit_cli.workdir import LABELS, check_target, workdir_words

    screen = Screen(as_json, quiet)
    target = out or workdir / LABELS
    check_seeds(seed=seed)
    check_target(target, "labels")
    with screen.progress() as follow:
        data_set = loaded(screen, workdir, data, progress=follow, **options)
    screen.note("data", data_set.describe())
    tell_notes(screen, data_set)
    probabilities = read_matrix(matrix, data_set.classes) if matrix else None
    share = 0.2 if rate is None and kind != "matrix" else rate
    planted = plant(data_set, kind, rate=share, matrix=probabilities, seed=seed)
    if target.exists():
        screen.warn(
            f"{path_of(target)} is replaced; a score table of the old labels stays as it is"
        )
    if not len(planted.wrong):
        screen.warn("no label is wrong now: the rate or the matrix is too small for so few rows")
    planted.write(target)
    touched = int(planted.touched.sum())
    wrong = len(planted.wrong)
    count = len(data_set.rows.training)
    screen.result(
        {"file": target, **planted.parameters, "rows": count, "touched": touched, "wrong": wrong},
        f"{kind}: {touched:,} of {count:,} training rows touched ({touched / count:.1%}), "
        f"{wrong:,} labels are now wrong ({wrong / count:.1%})",
    )
    screen.note("wrote", path_of(target))
    spec = f"--data {data_set.rows.data} " if data else ""
    screen.note(
        "next",
        f"prune-kit score {spec}--labels {path_of(target)} --method cumulative_pl --probes "
        f"0.05{workdir_words(workdir)}",
    )
