"""The command retrain: does accuracy hold?"""

from typing import Annotated

from prune_kit_cli import options as o


def retrain(
    selection: o.Selections = None,
    data: o.DataAgain = None,
    trust: o.Trust = False,
    align: Annotated[
        bool,
        o.option(
            o.DATA,
            "--align",
            help="Match the rows by content where their order or number differs. A row that a "
            "selection does not know is left out; under a removal it stays.",
        ),
    ] = False,
    runs: Annotated[
        int, o.option(o.TRAINING, "--runs", metavar="R", help="Networks for each selection.")
    ] = 4,
    baseline: o.Baseline = "full,random",
    budget: o.Budget = "steps",
    relabel: Annotated[
        bool,
        o.option(
            o.TRAINING,
            "--relabel",
            help="For each removal train on all rows too, under the labels it suggests.",
        ),
    ] = False,
    seed: o.RetrainSeed = None,
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
) -> None:
    """Does accuracy hold? Train on the selection, on all data and on random rows, and compare.

    Without --selection, every selection and removal in the workdir is retrained. A removal is
    trained without the rows on its list. Random subsets have the same number of rows. Accuracies
    are those of the last epoch on the test set, whose labels nothing changes.

    Example: prune-kit retrain --runs 4
    """
    from prune_kit.protocol.execution import Execution
    from prune_kit.results.claims import claims
    from prune_kit.results.reloading import aligned
    from prune_kit.retraining.plan import (
        RETRAIN_SEED,
        AskedRetraining,
        plan_retraining,
        run_retraining,
    )
    from prune_kit.storage import lock
    from prune_kit_cli.loading import loaded_again
    from prune_kit_cli.parsing import baselines, changes_of, recipe_protocol
    from prune_kit_cli.screen import Screen
    from prune_kit_cli.views.plan import dry_notes, plan_json, plan_notes, protocol_note
    from prune_kit_cli.views.tables import outcome_table, outcomes_json, path_of
    from prune_kit_cli.workdir import (
        OUTCOMES,
        read_selections,
        tell_chance,
        tell_data,
        tell_replaced,
        workdir_words,
    )

    screen, target = Screen(as_json, quiet), workdir / OUTCOMES
    execution = Execution(device=device, precision=precision, jobs=jobs, threads=threads)
    changes = changes_of(model, train)
    asked = AskedRetraining(
        runs=runs,
        baseline=baselines(baseline),
        budget=budget,
        relabel=relabel,
        seed=RETRAIN_SEED if seed is None else seed,
    )
    if not dry_run:
        lock.hold(workdir)
    selections = read_selections(workdir, selection)
    rows = next(iter(selections.values())).rows
    with screen.progress() as follow:
        loaded = loaded_again(screen, workdir, rows, data, trust=trust, progress=follow)
        if align:
            loaded, selections = aligned(loaded, selections)
            rows = next(iter(selections.values())).rows
        tell_data(screen, loaded, rows)
        plan = plan_retraining(
            loaded,
            selections,
            asked,
            config=recipe_protocol(recipe),
            changes=changes,
            execution=execution,
            workdir=workdir,
        )
        screen.note("protocol", protocol_note(plan.setup.protocol, budget))
        for label, text in dry_notes(plan) if dry_run else plan_notes(plan):
            screen.note(label, text)
        if dry_run:
            names = list(dict.fromkeys(plan.names))
            screen.result({"file": target, "selections": names, **plan_json(plan)})
            return
        outcomes = run_retraining(plan, follow)
    screen.trained(follow.networks)
    tell_replaced(screen, target, outcomes)
    outcomes.write(target)
    screen.result(
        {"file": target, "budget": budget, "outcomes": outcomes_json(outcomes)},
        outcome_table(outcomes),
        *claims(outcomes),
    )
    tell_chance(screen, loaded, outcomes)
    screen.note("wrote", path_of(target))
    screen.note("next", f"prune-kit export --format txt{workdir_words(workdir)}")
