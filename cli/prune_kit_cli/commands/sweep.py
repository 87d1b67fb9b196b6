"""The command sweep: a grid of selections, retrained."""

from pathlib import Path
from typing import Annotated

from prune_kit_cli import options as o

KEEPS, OFFSETS = "0.2,0.4,0.6,0.8", "0"


def sweep(
    by: Annotated[
        str | None,
        o.option(
            o.SELECTION,
            "--by",
            metavar="LIST",
            help="Columns to rank by (default: all); random rows are trained anyhow.",
        ),
    ] = None,
    rule: o.Rules = o.DEFAULT_RULE,
    keep: Annotated[
        str, o.option(o.SELECTION, "--keep", metavar="LIST", help="Shares to keep.")
    ] = KEEPS,
    offset: Annotated[
        str,
        o.option(
            o.SELECTION,
            "--offset",
            metavar="LIST",
            help="Shares to skip at the hard end, for rules that have an offset.",
        ),
    ] = OFFSETS,
    scores: o.ScoresFile = None,
    data: o.DataAgain = None,
    trust: o.Trust = False,
    runs: Annotated[
        int, o.option(o.TRAINING, "--runs", metavar="R", help="Networks for each cell of the grid.")
    ] = 4,
    baseline: o.Baseline = "full,random",
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
            o.OUTPUT, "--out", metavar="FILE", help="Where to write (default: WORKDIR/sweep.h5)."
        ),
    ] = None,
    as_json: o.AsJson = False,
    quiet: o.Quiet = False,
    workdir: o.WorkDir = o.DEFAULT_WORKDIR,
) -> None:
    """How much can go, and from which end? Retrain over a grid of columns, shares and offsets.

    Every cell is a cached training. Stop it, go on, or give a wider grid: nothing is trained twice.
    It ends in a table and in pictures: accuracy against the share pruned, the epoch of the score,
    and the offset.

    Example: prune-kit sweep --by el2n@20 --keep 0.2,0.4,0.6 --offset 0,0.02,0.1 --runs 2
    """
    from prune_kit.protocol.execution import Execution
    from prune_kit.reporting.figures.sweep import draw_sweep
    from prune_kit.retraining.grid import Sweep, grid, select_cells
    from prune_kit.retraining.plan import (
        RETRAIN_SEED,
        AskedRetraining,
        plan_retraining,
        run_retraining,
    )
    from prune_kit.storage import lock
    from prune_kit_cli.loading import loaded_again
    from prune_kit_cli.parsing import baselines, changes_of, recipe_protocol, shares, words
    from prune_kit_cli.screen import Screen
    from prune_kit_cli.views.plan import plan_notes, protocol_note
    from prune_kit_cli.views.sweep import grid_sentence, sweep_json, sweep_table
    from prune_kit_cli.views.tables import path_of
    from prune_kit_cli.workdir import (
        SWEEP,
        check_target,
        read_scores,
        tell_chance,
        tell_data,
        tell_replaced,
    )

    screen, target = Screen(as_json, quiet), out or workdir / SWEEP
    check_target(target, "outcomes")
    execution = Execution(device=device, precision=precision, jobs=jobs, threads=threads)
    changes = changes_of(model, train)
    asked = AskedRetraining(
        runs=runs,
        baseline=baselines(baseline),
        budget=budget,
        seed=RETRAIN_SEED if seed is None else seed,
    )
    lock.hold(workdir)
    table = read_scores(workdir, scores)
    own = [name for name, column in table.columns.items() if not column.companion]
    columns = words(by, "--by") if by else own
    rules = words(rule, "--rule")
    keeps = shares(keep, "--keep")
    offsets = shares(offset, "--offset")
    cells, left_out = grid(table, columns, rules, keeps, offsets)
    with screen.progress() as follow:
        loaded = loaded_again(screen, workdir, table.rows, data, trust=trust, progress=follow)
        tell_data(screen, loaded, table.rows)
        plan = plan_retraining(
            loaded,
            select_cells(table, cells),
            asked,
            config=recipe_protocol(recipe),
            changes=changes,
            execution=execution,
            workdir=workdir,
        )
        screen.note("protocol", protocol_note(plan.setup.protocol, budget))
        screen.note("grid", grid_sentence(cells, left_out, runs))
        for label, text in plan_notes(plan):
            screen.note(label, text)
        swept = Sweep.joined(run_retraining(plan, follow), cells)
    screen.trained(follow.networks)
    tell_replaced(screen, target, swept.outcomes)
    swept.outcomes.write(target)
    drawn = draw_sweep(swept, target.parent)
    screen.result(
        {"file": target, "pictures": drawn, "cells": sweep_json(swept)}, sweep_table(swept)
    )
    tell_chance(screen, loaded, swept.outcomes)
    screen.note("wrote", ", ".join(path_of(path) for path in (target, *drawn)))
    screen.note(
        "next", f"prune-kit info {path_of(target)}   (which differences are more than chance?)"
    )
