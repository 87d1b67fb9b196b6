"""The command score: networks are trained, every example is scored."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from prune_kit import registry
from prune_kit_cli import options as o
from prune_kit_cli.method_options import takes_options_of

if TYPE_CHECKING:
    from prune_kit.results.table import ScoreTable
    from prune_kit.scoring.plan import ScorePlan
    from prune_kit_cli.screen import Screen


@takes_options_of(registry.SOURCES, "data", panel=o.DATA)
@takes_options_of(registry.SCORERS, "method", panel=o.SCORES)
def score(
    data: o.Data = None,
    labels: o.Labels = None,
    key: o.Key = None,
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
    dry_run: o.DryRun = False,
    as_json: o.AsJson = False,
    quiet: o.Quiet = False,
    workdir: o.WorkDir = o.DEFAULT_WORKDIR,
    **options: Any,
) -> None:
    """Train a few networks for a few epochs and score every example by them.

    One training serves every method. Without --data, the handwritten digits that come with
    scikit-learn are used. grand@0, of untrained networks, is offered since the papers ask for it.
    It mostly measures the norm of the image and prunes worse than random rows: use epoch 10 or
    later.

    Example: prune-kit score --method el2n,forgetting --epoch 20
    """
    from prune_kit.protocol.execution import Execution
    from prune_kit.results.table import ScoreTable
    from prune_kit.scoring.asked import AskedScores
    from prune_kit.scoring.columns import column_name
    from prune_kit.scoring.plan import plan_scores, run_scores
    from prune_kit.storage import lock
    from prune_kit_cli.loading import (
        loaded,
        loaded_again,
        named_data,
        source_options,
        tell_notes,
    )
    from prune_kit_cli.parsing import changes_of, numbers, recipe_protocol
    from prune_kit_cli.screen import Screen
    from prune_kit_cli.views.plan import dry_notes, plan_json, plan_notes
    from prune_kit_cli.workdir import SCORES, tell_data, workdir_words

    screen, target = Screen(as_json, quiet), workdir / SCORES
    of_source = source_options(options)
    execution = Execution(device=device, precision=precision, jobs=jobs, threads=threads)
    changes = changes_of(model, train)
    asked = AskedScores.of(
        method or "el2n", epoch=numbers(epoch, "--epoch"), runs=runs, seed=seed, observe=observe,
        probes=probes, **options,
    )  # fmt: skip
    if not dry_run:
        lock.hold(workdir)
    earlier = ScoreTable.read(target) if target.exists() and not (fresh and data) else None
    table = None if fresh else earlier
    with screen.progress() as follow:
        if earlier and labels is None:
            data_set = loaded_again(
                screen, workdir, earlier.rows, data, trust=trust, progress=follow, **of_source
            )
        else:
            spec = named_data(data, earlier.rows if earlier else None, trust)
            data_set = loaded(
                screen, workdir, spec, labels=labels, key=key, progress=follow, **of_source
            )
        tell_data(screen, data_set, earlier.rows if earlier else None)
        tell_notes(screen, data_set)
        plan = plan_scores(
            data_set,
            asked,
            config=recipe_protocol(recipe),
            changes=changes,
            execution=execution,
            table=table,
            workdir=workdir,
        )
        _tell_protocol(screen, plan)
        for label, text in dry_notes(plan) if dry_run else plan_notes(plan):
            screen.note(label, text)
        if dry_run:
            columns = [column_name(column) for column in plan.columns]
            screen.result({"file": target, "columns": columns, **plan_json(plan)})
            return
        scored = run_scores(plan, follow)
    screen.trained(follow.networks)
    made = [column_name(column) for column in plan.columns]
    if made:
        scored.write(target)
    _show(screen, scored, made, target, follow.networks, workdir_words(workdir))


def _tell_protocol(screen: "Screen", plan: "ScorePlan") -> None:
    screen.note("protocol", plan.setup.protocol.describe())
    stop = plan.last_epoch
    if stop is not None and stop < plan.setup.protocol.epochs:
        first = "first epoch is" if stop == 1 else f"first {stop} epochs are"
        screen.note("", f"its {first} trained: nothing asks for a later one")


def _show(
    screen: "Screen",
    scored: "ScoreTable",
    made: list[str],
    target: Path,
    networks: int,
    where: str,
) -> None:
    """The scores, what to know of them, and what may be typed next."""
    from prune_kit_cli.views.next_steps import after_scores
    from prune_kit_cli.views.tables import error_lines, path_of, probes_sentence, score_table

    if len(scored.probes):
        screen.note(
            "probes", f"{probes_sentence(scored)}; the scores are for `clean`, not for `select`"
        )
    if "grand@0" in made and scored.columns["grand@0"].parameters["bn"] == "running":
        screen.warn(
            "grand@0 is close to the image's norm (compare input_norm) and prunes worse than random"
        )
    shown = made or list(scored.columns)
    screen.result(
        {
            "file": target,
            "made": made,
            "columns": list(scored.columns),
            "trained": networks,
            "probes": len(scored.probes),
            "fingerprint": scored.rows.fingerprint,
        },
        score_table(scored, shown),
        *error_lines(scored, shown),
    )
    path = path_of(target)
    screen.note("wrote", path if made else f"nothing: {path} has every column asked for")
    for number, step in enumerate(after_scores(scored, made, where)):
        screen.note("" if number else "next", step)
