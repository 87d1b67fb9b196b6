"""Scoring in two steps: a plan, which trains nothing and costs nothing, and its run."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from prune_kit import models
from prune_kit.checks import check_kind, check_seeds
from prune_kit.data.dataset import Dataset
from prune_kit.data.identity import check_same
from prune_kit.data.noise import draw_probes, planted
from prune_kit.errors import TableError
from prune_kit.progress import Listener, silent
from prune_kit.protocol.config import TrainConfig
from prune_kit.protocol.defaults import chosen_protocol, score_epoch
from prune_kit.protocol.execution import Execution, ResolvedExecution
from prune_kit.protocol.processor import cpu_precision
from prune_kit.protocol.setup import Setup, spelled
from prune_kit.results.column import ScoreColumn
from prune_kit.results.table import ScoreTable
from prune_kit.scorers import Runs
from prune_kit.scoring.asked import AskedScores
from prune_kit.scoring.averages import score_column
from prune_kit.scoring.columns import (
    WITHOUT_EPOCH,
    Column,
    column_name,
    lacking_columns,
    needs,
    request_for,
)
from prune_kit.storage.lock import holding
from prune_kit.storage.paths import absolute
from prune_kit.storage.workdir import RUNS

if TYPE_CHECKING:
    from prune_kit.runs.executor import PlannedRuns
    from prune_kit.runs.holdout import Holdout

DEFAULT_RUNS = 10
ANEW = "Give table=None to start the table anew, or another `workdir`"


@dataclass(frozen=True, eq=False, kw_only=True)
class ScorePlan:
    """What a scoring will do: which columns it makes, from which networks, trained where.

    Parameters
    ----------
    data : the data set that is scored.
    seen : the data set that the networks see, with planted labels where there are probes.
    table : the table that is extended; it may have no columns yet.
    setup : how the networks are made.
    execution : where they train.
    epochs : the epochs that were asked for, or the data set's own.
    columns : those to make, each with whether it is a companion that nobody named.
    options : the options of each method.
    runs : the networks that the columns need.
    holdout : the networks of holdout validation that the columns need; None for none.
    probe_label : (N,) the planted labels; None for no probes.
    workdir : the folder that holds the run cache.
    """

    data: Dataset
    seen: Dataset
    table: ScoreTable
    setup: Setup
    execution: ResolvedExecution
    epochs: tuple[int, ...]
    columns: Mapping[Column, bool]
    options: Mapping[str, Mapping[str, Any]]
    runs: "PlannedRuns"
    holdout: "Holdout | None"
    probe_label: np.ndarray | None
    workdir: Path

    @property
    def lacking_folds(self) -> int:
        """How many networks of holdout validation are to be trained, whole blocks of folds."""
        if self.holdout is None:
            return 0
        return sum(len(group) for _, group in self.holdout.groups())

    @property
    def networks(self) -> int:
        """How many networks are to be trained."""
        return len(self.runs.lacking) + self.lacking_folds

    @property
    def cached(self) -> int:
        """How many of the networks that the columns need are in the cache."""
        cached = len(self.runs.inputs) - len(self.runs.lacking)
        if self.holdout is None:
            return cached
        kept = self.holdout.kept()
        asked = product(self.holdout.ratios, range(self.holdout.folds))
        return cached + sum(fold in kept for fold in asked)

    @property
    def epochs_to_train(self) -> int:
        """The epochs of all networks together; fewer where a training goes on that was begun."""
        return sum(self.runs.epochs) + self.lacking_folds * self.setup.protocol.epochs

    @property
    def last_epoch(self) -> int | None:
        """The epoch after which every network stops.

        None where one goes on to the protocol's end.
        """
        named = [needs(method, self.options.get(method, {})) for method, _ in self.columns]
        if not named or any(needed in WITHOUT_EPOCH for needed in named):
            return None
        return max(self.epochs)


def plan_scores(
    data: Dataset,
    asked: AskedScores,
    *,
    config: TrainConfig | None = None,
    changes: Mapping[str, Any] | None = None,
    execution: Execution | None = None,
    table: ScoreTable | None = None,
    workdir: str | Path,
) -> ScorePlan:
    """Decide how scores are made: from which networks, and which of them are in the cache.

    Nothing is trained, and nothing is written. `changes` replace fields of the protocol; the other
    parameters, and the errors, are those of `pipeline.score`.
    """
    from prune_kit.runs.cache import RunInputs
    from prune_kit.runs.executor import PlannedRuns, settle_execution

    check_kind(data, Dataset, "data", "load_data")
    if table is not None:
        check_kind(table, ScoreTable, "table", "score")
    execution = execution or Execution()
    table = table or ScoreTable(data.rows, {})
    check_same(
        data.rows,
        table.rows,
        f"the data {data.rows.data}",
        "the score table",
        "table=None starts the table anew",
    )
    earlier = table.setup
    settled = earlier or Setup(protocol=chosen_protocol(data, config=config, changes=changes))
    protocol = chosen_protocol(data, config=config, earlier=earlier, changes=changes)
    seed = settled.seed if asked.seed is None else asked.seed
    observe = settled.observe if asked.observe is None else asked.observe
    probes = settled.probes if asked.probes is None else asked.probes
    runs = (table.runs or DEFAULT_RUNS) if asked.runs is None else asked.runs
    check_seeds(runs, seed)
    seeds = range(seed, seed + max(runs, table.runs))
    probe_label = _probe_label(table, probes, seed)
    seen = data if probe_label is None else planted(data, probe_label)
    runs_folder = Path(workdir) / RUNS
    resolved, inputs = settle_execution(
        lambda where: [RunInputs(seen, protocol, s, where) for s in seeds],
        execution,
        earlier,
        runs_folder,
        networks=runs,
        cpu_precision=cpu_precision(protocol.model, data.shape),
    )
    setup = Setup.resolved(protocol, resolved, seed=seed, observe=observe, probes=probes)
    if earlier:
        check_setup(earlier, setup)
    epochs = asked.epochs or (score_epoch(data, protocol),)
    columns, options = lacking_columns(
        table, list(asked.methods), list(epochs), protocol.epochs, asked.options, tuple(seeds)
    )
    request = request_for(list(columns), observe, options)
    needed = inputs if request else []
    if needed:
        # refused here, before a run leaves a trace
        models.build(protocol.model, shape=data.shape, classes=data.classes, seed=0)
    requests = [request] * len(needed) if request else []
    return ScorePlan(
        data=data,
        seen=seen,
        table=table,
        setup=setup,
        execution=resolved,
        epochs=epochs,
        columns=columns,
        options=options,
        runs=PlannedRuns.of(needed, requests, runs_folder),
        holdout=_holdout(columns, options, table, seen, setup, execution, runs_folder),
        probe_label=probe_label,
        workdir=Path(workdir),
    )


def run_scores(plan: ScorePlan, progress: Listener = silent) -> ScoreTable:
    """Train the networks that a plan lacks, and make its columns.

    Raises RunError when a training fails, and FileError when the cache cannot be written.
    """
    from prune_kit.runs.executor import complete_runs
    from prune_kit.runs.folds import complete_folds

    with holding(plan.workdir):
        results = complete_runs(plan.runs, progress)
        holdout = complete_folds(plan.holdout, progress) if plan.holdout else None
    setup = plan.setup
    runs = Runs(results.runs, setup.seed, plan.execution, setup.observe, progress, holdout)
    made = []
    for (method, epoch), companion in plan.columns.items():
        options = plan.options.get(method, {})
        # without a network no planted label counts
        judged = plan.data if needs(method, options) == "nothing" else plan.seen
        made.append(score_column(judged, runs, method, epoch, companion, setup.values(), options))
    scored = replace(plan.table.with_columns(made), probe_label=plan.probe_label)
    if any(column.test for column in made):
        scored = replace(scored, test_rows=plan.data.test_rows)
    return scored


def check_setup(earlier: Setup, now: Setup) -> None:
    """One table, one setup: refuse another one, and say what differs. Raises TableError."""
    differing = now.differences(earlier)
    if not differing:
        return
    words = [
        f"{name} {spelled(value)} (the table has {spelled(had)})"
        for name, (value, had) in differing.items()
    ]
    back = ""
    if "device" in differing:
        back = f"Go on where it was begun: device={earlier.device!r}. "
    raise TableError(f"the score table was made otherwise: {'; '.join(words)}. {back}{ANEW}")


def _probe_label(table: ScoreTable, share: float | None, seed: int) -> np.ndarray | None:
    """The planted labels (N,) that networks train on: the table's, else drawn from the seed.

    None for no share. Raises OptionError when it is out of range or makes no probe.
    """
    if share is None:
        return None
    if table.setup and table.probe_label is not None:
        return table.probe_label  # not drawn again: another numpy may draw others
    return draw_probes(table.rows, share, seed)


def _holdout(
    columns: Mapping[Column, bool],
    options: Mapping[str, Mapping[str, Any]],
    table: ScoreTable,
    seen: Dataset,
    setup: Setup,
    execution: Execution,
    runs_folder: Path,
) -> "Holdout | None":
    """The networks of holdout validation that the columns need; None where none does.

    Raises TableError when those of the table have another precision or other threads.
    """
    folding = [
        column for column in columns if needs(column[0], options.get(column[0], {})) == "folds"
    ]
    if not folding:
        return None
    from prune_kit.runs.holdout import Holdout
    from prune_kit.runs.subsets import check_ratios

    chosen = options[folding[0][0]]
    check_ratios(chosen["ratios"], len(seen.rows.training))
    resolved = fold_execution(
        execution,
        len(chosen["ratios"]) * chosen["folds"],
        table.columns.get(column_name(folding[0])),
    )
    return Holdout(
        seen,
        setup.protocol,
        resolved,
        setup.seed,
        chosen["sampling"],
        chosen["ratios"],
        chosen["folds"],
        absolute(runs_folder),
    )


def fold_execution(
    execution: Execution, networks: int, earlier: ScoreColumn | None
) -> ResolvedExecution:
    """Where so many networks of holdout validation train: as those of an `earlier` column did.

    Parameters
    ----------
    execution : where networks are to train, as it was asked for.
    networks : how many there are, at all ratios together.
    earlier : the column whose folds are gone on with; None where the table has none.

    Raises
    ------
    TableError
        where they had another precision or other threads than are asked for.
    """
    had = earlier.parameters if earlier else {}
    resolved = execution.resolve_folds(
        networks, precision=had.get("fold_precision"), threads=had.get("fold_threads")
    )
    for name, now in (("precision", resolved.precision), ("threads", resolved.recorded_threads)):
        before = had.get(f"fold_{name}")
        if None not in (before, now) and before != now:
            raise TableError(
                f"the folds of the table were trained with {name} {before}, not {now}. {ANEW}"
            )
    return resolved
