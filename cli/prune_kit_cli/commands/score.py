"""The command score: networks are trained, every example is scored."""

from typing import TYPE_CHECKING, Annotated, Any

from prune_kit_cli import options as o
from prune_kit_cli.method_options import takes_options_of

if TYPE_CHECKING:
    from prune_kit.results.table import ScoreTable


@takes_options_of(o.SCORERS, "method", panel=o.SCORES)
def score(
    data: o.Data = None,
    labels: o.Labels = None,
    image_size: o.ImageSize = None,
    trust: o.Trust = False,
    method: o.Method = None,
    epoch: o.Epoch = None,
    runs: Annotated[
        int | None,
        o.option(o.SCORES, "--runs", metavar="R", help="Networks to average over (default: 10)."),
    ] = None,
    seed: Annotated[
        int | None,
        o.option(
            o.SCORES, "--seed", metavar="S", help="The seed of the first network (default: 0)."
        ),
    ] = None,
    observe: o.Observe = None,
    probes: o.Probes = None,
    fresh: Annotated[
        bool,
        o.option(
            o.SCORES, "--fresh", help="Start the score table anew; finished runs are still used."
        ),
    ] = False,
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
    **options: Any,
) -> None:
    """Train a few networks for a few epochs and score every example by them.

    One training serves every method. Without --data, the embedded data set `digits` is used.
    grand@0 is offered since the papers ask for it. It mostly measures the norm of the image and
    prunes worse than random rows: use epoch 10 or later.

    Example: prune-kit score --method el2n,forgetting --epoch 20
    """
    import numpy as np

    from prune_kit import pipeline
    from prune_kit.checks import check_seeds
    from prune_kit.data.spec import check_trusted, load_data
    from prune_kit.protocol.defaults import score_epoch
    from prune_kit.protocol.setup import scored_with
    from prune_kit.results.reloading import load_again
    from prune_kit.results.table import ScoreTable
    from prune_kit.scoring.columns import check_use, ends_with_epochs, method_names
    from prune_kit.storage import lock
    from prune_kit_cli.parsing import numbers
    from prune_kit_cli.views.tables import (
        Screen,
        error_lines,
        path_of,
        probes_sentence,
        score_table,
    )
    from prune_kit_cli.workdir import SCORES, execution, protocol, tell_data, there

    screen, target = Screen(as_json, quiet), workdir / SCORES
    check_seeds(1 if runs is None else runs, seed)
    where = execution(device, precision, jobs, threads, train)
    names, epochs = method_names(method or "el2n"), numbers(epoch, "--epoch")
    check_use(
        names, options, epoch=epoch is not None, runs=runs is not None, probes=probes is not None
    )
    lock.hold(workdir)
    earlier = ScoreTable.read(target) if target.exists() and not (fresh and data) else None
    table = None if fresh else earlier
    with screen.progress() as follow:
        if earlier and labels is None:
            loaded = load_again(
                earlier.rows, data, image_size=image_size, trust=trust, progress=follow
            )
        else:
            spec = data or (earlier.rows.data if earlier else "digits")
            if data is None:
                check_trusted(spec, trust)
            loaded = load_data(spec, labels=labels, image_size=image_size, progress=follow)
            if spec == "digits" and data is None:
                screen.warn(
                    "no --data given: using digits, 1,797 real images that come with scikit-learn"
                )
        tell_data(screen, loaded, earlier.rows if earlier else None)
        if loaded.preparation:
            screen.note("", loaded.preparation)
        config = protocol(loaded, scored_with(table) if table else {}, recipe, model, train)
        screen.note("protocol", config.describe())
        stop = max(epochs or [score_epoch(loaded, config)])
        if stop < config.epochs and ends_with_epochs(names, options):
            first = "first epoch is" if stop == 1 else f"first {stop} epochs are"
            screen.note("", f"its {first} trained: nothing asks for a later one")
        scored = pipeline.score(
            loaded,
            names,
            epoch=epochs,
            runs=runs,
            config=config,
            seed=seed,
            **where,
            observe=observe,
            probes=probes,
            table=table,
            workdir=workdir,
            progress=follow,
            **options,
        )
    made = [
        name
        for name, column in scored.columns.items()
        if table is None or table.columns.get(name) is not column
    ]
    screen.trained(follow.networks)
    if len(scored.probes):
        screen.note(
            "probes", f"{probes_sentence(scored)}; the scores are for `clean`, not for `select`"
        )
    for name in made:
        if name == "grand@0" and scored.columns[name].parameters["bn"] == "running":
            screen.warn(
                "grand@0 is close to the image's norm (compare input_norm) and prunes worse than "
                "random"
            )
    if made:
        scored.write(target)
    screen.result(
        {
            "file": target,
            "made": made,
            "columns": list(scored.columns),
            "trained": follow.networks,
            "probes": len(scored.probes),
            "fingerprint": loaded.fingerprint,
        },
        score_table(scored, made or list(scored.columns)),
        *error_lines(scored, made or list(scored.columns)),
    )
    path = path_of(target)
    screen.note("wrote", path if made else f"nothing: {path} has every column asked for")
    own = [name for name, column in scored.columns.items() if not column.companion]
    whole = [n for n in own if not np.isnan(scored.columns[n].values[scored.rows.training]).any()]
    if len(scored.probes):
        screen.note("next", f"prune-kit clean --auto{there(workdir)}")
    elif whole:
        best = _latest(scored, [name for name in made if name in whole] or whole)
        by = f"--by {best} " if len(own) > 1 else ""
        screen.note("next", f"prune-kit select {by}--keep 0.5 --offset 0.02{there(workdir)}")
    if not len(scored.probes) and any(
        "probability" in scored.columns[name].extras for name in whole
    ):
        screen.note(
            "" if whole else "next",
            f"prune-kit clean --auto{there(workdir)}   (which labels are wrong?)",
        )


def _latest(table: "ScoreTable", names: list[str]) -> str:
    """Of the columns of the first one's method that of the latest epoch."""
    alike = [name for name in names if table.columns[name].method == table.columns[names[0]].method]
    return max(alike, key=lambda name: table.columns[name].parameters.get("epoch", 0))
