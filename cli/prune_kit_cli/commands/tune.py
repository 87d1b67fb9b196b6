"""The command tune: the window that serves a goal, found on a validation split."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from prune_kit_cli import options as o

if TYPE_CHECKING:
    from prune_kit.data.dataset import Dataset
    from prune_kit.retraining.tuning import Tuning
    from prune_kit_cli.screen import Screen


def tune(
    goal: Annotated[
        str | None,
        o.option(
            o.SELECTION,
            "--goal",
            metavar="TEXT",
            help="accuracy (the default with one --keep), or "
            '"within 0.5 points of full, keep least".',
        ),
    ] = None,
    keep: Annotated[
        str | None,
        o.option(
            o.SELECTION, "--keep", metavar="LIST", help="Shares to keep (default: 0.2 to 0.9)."
        ),
    ] = None,
    offset: Annotated[
        str | None,
        o.option(
            o.SELECTION,
            "--offset",
            metavar="LIST",
            help="Shares to skip at the hard end (default: 0 to 0.6).",
        ),
    ] = None,
    by: Annotated[
        str | None,
        o.option(
            o.SELECTION,
            "--by",
            metavar="LIST",
            help="Columns to rank by; needed where the table has several.",
        ),
    ] = None,
    rule: o.Rules = o.DEFAULT_RULE,
    validation: Annotated[
        float,
        o.option(
            o.SELECTION,
            "--validation",
            metavar="F",
            help="The share of the training rows that judges.",
        ),
    ] = 0.2,
    scores: o.ScoresFile = None,
    data: o.DataAgain = None,
    trust: o.Trust = False,
    runs: Annotated[
        int,
        o.option(
            o.TRAINING,
            "--runs",
            metavar="R",
            help="Networks for each candidate that is trained in full length.",
        ),
    ] = 4,
    budget: o.Budget = "steps",
    seed: o.RetrainSeed = None,
    model: o.Model = None,
    recipe: o.Recipe = None,
    train: o.Train = None,
    device: o.Device = "auto",
    precision: o.Precision = "auto",
    jobs: o.Jobs = None,
    threads: o.Threads = None,
    out: Annotated[
        Path | None,
        o.option(
            o.OUTPUT,
            "--out",
            metavar="FILE",
            help="Where the selection goes (default: WORKDIR/selection.h5).",
        ),
    ] = None,
    as_json: o.AsJson = False,
    quiet: o.Quiet = False,
    workdir: o.WorkDir = o.DEFAULT_WORKDIR,
) -> None:
    """How much to keep, and from where? Find the window that serves a goal, and test it once.

    A validation split, held out of the training rows, judges all candidates in short trainings (of
    more than 13 offsets, 13 spread evenly), the better ones in longer trainings, and the winner
    with its neighbours in whole ones. Then the test set sees the winner, all rows, random rows and
    the rule without an offset. What it costs is said before it starts.

    Example: prune-kit tune --keep 0.4 --goal accuracy
    """
    from prune_kit.protocol.execution import Execution
    from prune_kit.results.selection import Selection
    from prune_kit.retraining.plan import RETRAIN_SEED, AskedRetraining
    from prune_kit.retraining.search import candidates
    from prune_kit.retraining.tuning import check_validation, plan_tuning, run_tuning
    from prune_kit.storage import lock
    from prune_kit_cli.loading import loaded_again
    from prune_kit_cli.parsing import changes_of, recipe_protocol, shares, words
    from prune_kit_cli.screen import Screen
    from prune_kit_cli.views.plan import protocol_note
    from prune_kit_cli.views.search import tuning_notes
    from prune_kit_cli.views.tables import path_of
    from prune_kit_cli.workdir import SELECTION, check_target, read_scores, tell_data, workdir_words

    screen, target = Screen(as_json, quiet), out or workdir / SELECTION
    check_target(target, "selection")
    check_validation(validation)
    execution = Execution(device=device, precision=precision, jobs=jobs, threads=threads)
    changes = changes_of(model, train)
    asked = AskedRetraining(runs=runs, budget=budget, seed=RETRAIN_SEED if seed is None else seed)
    lock.hold(workdir)
    table = read_scores(workdir, scores)
    among = candidates(
        table,
        goal=goal,
        by=words(by, "--by") if by else None,
        keep=shares(keep, "--keep") if keep else None,
        offset=shares(offset, "--offset") if offset else None,
        rule=words(rule, "--rule"),
    )
    with screen.progress() as follow:
        loaded = loaded_again(screen, workdir, table.rows, data, trust=trust, progress=follow)
        tell_data(screen, loaded, table.rows)
        plan = plan_tuning(
            loaded,
            table,
            among,
            asked,
            validation=validation,
            config=recipe_protocol(recipe),
            changes=changes,
            execution=execution,
            workdir=workdir,
        )
        screen.note("protocol", protocol_note(plan.protocol, budget))
        if target.is_file():
            screen.note(
                "replaces", f"{path_of(target)}, which holds: {Selection.read(target).describe()}"
            )
        for label, text in tuning_notes(plan):
            screen.note(label, text)
        tuned = run_tuning(plan, follow)
    screen.trained(follow.networks)
    again = f"{f' --selection {path_of(out)}' if out else ''}{workdir_words(workdir)}"
    _write_and_show(screen, tuned, loaded, target, workdir, again)


def _write_and_show(
    screen: "Screen", tuned: "Tuning", data: "Dataset", target: Path, workdir: Path, again: str
) -> None:
    """Write the selection, the search and the outcomes, and show them; `again` finds them later."""
    from prune_kit.reporting.figures.search import draw_tuning
    from prune_kit_cli.views.search import found_sentence, search_table, tuning_json, verdicts
    from prune_kit_cli.views.tables import outcome_table, path_of
    from prune_kit_cli.workdir import OUTCOMES, TUNE, TUNE_PICTURE, tell_chance, tell_replaced

    tuned.selection.write(target)
    tuned.validation().write(workdir / TUNE)
    tell_replaced(screen, workdir / OUTCOMES, tuned.test)
    tuned.test.write(workdir / OUTCOMES)
    picture = draw_tuning(tuned, workdir / TUNE_PICTURE)
    screen.result(
        {"file": target, "picture": picture, **tuning_json(tuned)},
        search_table(tuned.rounds, tuned.cell.name, tuned.met),
        found_sentence(tuned),
        tuned.selection.describe(),
        outcome_table(tuned.test),
        *verdicts(tuned),
    )
    tell_chance(screen, data, tuned.test)
    written = (target, workdir / TUNE, workdir / OUTCOMES, picture)
    screen.note("wrote", ", ".join(path_of(path) for path in written))
    export = f"prune-kit export{again} --format txt"
    screen.note(
        "next",
        export
        if tuned.met
        else f"larger shares to --keep, or another --goal; of the nearest: {export}",
    )
