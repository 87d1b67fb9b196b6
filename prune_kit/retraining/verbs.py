"""The verbs that search: sweep, over a grid, and tune, for the window that serves a goal."""

from collections.abc import Iterable
from typing import Any

from prune_kit.data.dataset import Dataset
from prune_kit.progress import Listener, silent
from prune_kit.results.table import ScoreTable
from prune_kit.retraining.grid import Sweep, grid, select_cells
from prune_kit.retraining.plan import plan_retraining, retrain_options, run_retraining
from prune_kit.retraining.search import candidates
from prune_kit.retraining.tuning import VALIDATION, Tuning, plan_tuning, run_tuning
from prune_kit.selectors import DEFAULT_RULE


def sweep(
    data: Dataset,
    table: ScoreTable,
    *,
    by: str | Iterable[str],
    keep: Iterable[float],
    offset: Iterable[float] = (0.0,),
    rule: str | Iterable[str] = (DEFAULT_RULE,),
    progress: Listener = silent,
    **retraining: Any,
) -> Sweep:
    """Retrain over a grid of selections, with all data and random rows of each size.

    A cell that was trained before is not trained again. So a sweep can be stopped, resumed and
    widened. Cells whose `keep` and `offset` make more than 1 are left out.

    Parameters
    ----------
    data, table : the data set, and its scores.
    by : the columns that rank.
    keep : the shares of the training rows to keep, each in (0, 1].
    offset : the shares to skip at the hard end, each in [0, 1).
    rule : the rules that select.
    progress : hears what is being done.
    retraining : the options of `retrain`.

    Raises
    ------
    PruneKitError
        What `select` and `retrain` raise.
    """
    columns = [by] if isinstance(by, str) else list(by)
    rules = [rule] if isinstance(rule, str) else list(rule)
    cells, _ = grid(table, columns, rules, keep, offset)
    asked, rest = retrain_options(retraining)
    plan = plan_retraining(data, select_cells(table, cells), asked, **rest)
    return Sweep.joined(run_retraining(plan, progress), cells)


def tune(
    data: Dataset,
    table: ScoreTable,
    *,
    goal: str | None = None,
    by: str | Iterable[str] | None = None,
    keep: float | Iterable[float] | None = None,
    offset: Iterable[float] | None = None,
    rule: str | Iterable[str] = (DEFAULT_RULE,),
    validation: float = VALIDATION,
    progress: Listener = silent,
    **retraining: Any,
) -> Tuning:
    """Find the share to keep and the offset that serve a goal; test what was found, once.

    A stratified share of the training rows, under the labels they have, judges the candidates: all,
    or some spread evenly, in short trainings, the leaders in longer ones, the winner and its
    neighbours in whole ones. The test set sees the winner, the rule without an offset, full data
    and random rows.

    Parameters
    ----------
    data, table : the data set, and its scores.
    goal, by, keep, offset, rule : what is looked for, and among what (`search.candidates`).
    validation : the share of the training rows that judges, in (0, 0.5].
    progress : hears what is being done.
    retraining : the options of `retrain`; `runs` and `config` are of the whole trainings.

    Raises
    ------
    PruneKitError
        what `select` and `retrain` raise.
    """
    asked, rest = retrain_options(retraining)
    among = candidates(table, goal=goal, by=by, keep=keep, offset=offset, rule=rule)
    return run_tuning(
        plan_tuning(data, table, among, asked, validation=validation, **rest), progress
    )
