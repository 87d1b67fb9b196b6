"""Retraining in two steps: a plan, which trains nothing and costs nothing, and its run."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prune_kit import models, registry
from prune_kit.checks import check_kind, check_seeds
from prune_kit.data.dataset import Dataset
from prune_kit.data.identity import check_same, index_digest
from prune_kit.progress import Listener, silent
from prune_kit.protocol.config import TrainConfig
from prune_kit.protocol.defaults import chosen_protocol
from prune_kit.protocol.execution import Execution, ResolvedExecution
from prune_kit.protocol.processor import cpu_precision
from prune_kit.protocol.setup import Setup
from prune_kit.results.outcomes import Outcome, Outcomes
from prune_kit.results.removal import Removal
from prune_kit.results.selection import Selection
from prune_kit.retraining.groups import BASELINES, relabelled_data, retrain_groups
from prune_kit.storage.lock import holding
from prune_kit.storage.workdir import DEFAULT_WORKDIR, RUNS

if TYPE_CHECKING:
    from prune_kit.runs.cache import RecordedRun
    from prune_kit.runs.executor import PlannedRuns

BUDGETS = ("steps", "epochs")
RETRAIN_SEED = 1000  # scores use 0, 1, ...: no network judges the examples that its own twin chose
Chosen = Selection | Removal


@dataclass(frozen=True, kw_only=True)
class AskedRetraining:
    """How selections are to be retrained.

    Parameters
    ----------
    runs : the seeds of each set of rows, at least 1.
    baseline : what the selections are compared with: "full", "random", both, or nothing.
    budget : what all sets have the same number of, "steps" or "epochs".
    relabel : whether each removal is also trained on all rows, under the labels that it suggests.
    seed : the first seed.

    Raises
    ------
    OptionError
        for values that are not among these.
    """

    runs: int = 4
    baseline: tuple[str, ...] = BASELINES
    budget: str = BUDGETS[0]
    relabel: bool = False
    seed: int = RETRAIN_SEED

    def __post_init__(self) -> None:
        check_seeds(self.runs, self.seed)
        if self.budget not in BUDGETS:
            raise registry.unknown_name_error("`budget`", self.budget, BUDGETS)
        for name in self.baseline:
            if name not in BASELINES:
                raise registry.unknown_name_error("baseline", name, BASELINES)

    @property
    def seeds(self) -> range:
        """All seeds."""
        return range(self.seed, self.seed + self.runs)


@dataclass(frozen=True, eq=False, kw_only=True)
class RetrainPlan:
    """What a retraining will do: which networks it trains, on which rows, and where.

    Parameters
    ----------
    data : the data set.
    asked : how the sets of rows are retrained.
    setup : how the networks are made.
    execution : where they train.
    names : the set of rows that each run trains on, by its name.
    runs : the runs.
    workdir : the folder that holds the run cache.
    """

    data: Dataset
    asked: AskedRetraining
    setup: Setup
    execution: ResolvedExecution
    names: tuple[str, ...]
    runs: "PlannedRuns"
    workdir: Path

    @property
    def networks(self) -> int:
        """How many networks are to be trained."""
        return len(self.runs.lacking)

    @property
    def cached(self) -> int:
        """How many of the networks are in the cache."""
        return len(self.names) - self.networks

    @property
    def epochs_to_train(self) -> int:
        """The epochs of all networks together; fewer where a training goes on that was begun."""
        return sum(self.runs.epochs)


def retrain_options(options: Mapping[str, Any]) -> tuple[AskedRetraining, dict[str, Any]]:
    """What the keyword options of `pipeline.retrain` ask for, and the keywords of a plan.

    Raises OptionError for a name that is not an option, and for values that do not fit.
    """
    execution, rest = Execution.taken_from(options)
    plan = {
        "config": rest.pop("config", None),
        "changes": {"model": rest.pop("model", None)},
        "workdir": rest.pop("workdir", DEFAULT_WORKDIR),
        "execution": execution,
    }
    given = {name: value for name, value in rest.items() if value is not None}
    known = [field.name for field in fields(AskedRetraining)]
    for name in given:
        if name not in known:
            raise registry.unknown_name_error("option", name, [*known, *plan])
    baseline = given.get("baseline", BASELINES)
    names = baseline.split(",") if isinstance(baseline, str) else baseline
    return AskedRetraining(**{**given, "baseline": tuple(names)}), plan


def plan_retraining(
    data: Dataset,
    selections: Chosen | Mapping[str, Chosen],
    asked: AskedRetraining | None = None,
    *,
    config: TrainConfig | None = None,
    changes: Mapping[str, Any] | None = None,
    execution: Execution | None = None,
    workdir: str | Path,
) -> RetrainPlan:
    """Decide what is retrained: on which rows, by which networks, and which are in the cache.

    Nothing is trained, and nothing is written. `changes` replace fields of the protocol; the other
    parameters, and the errors, are those of `pipeline.retrain`.
    """
    from prune_kit.runs.cache import Request, RunInputs
    from prune_kit.runs.executor import PlannedRuns, settle_execution

    check_kind(data, Dataset, "data", "load_data")
    asked = asked or AskedRetraining()
    named = _named(selections)
    _check_rows(data, named)
    earlier = next((chosen.setup for chosen in named.values() if chosen.setup), None)
    protocol = chosen_protocol(data, config=config, earlier=earlier, changes=changes)
    models.build(protocol.model, shape=data.shape, classes=data.classes, seed=0)  # refused here
    groups = retrain_groups(data, named, list(asked.baseline), asked.seeds)
    relabelled = relabelled_data(data, named) if asked.relabel else {}
    trainings = [
        (name, seed, data, members[seed])
        for name, members in groups.items()
        for seed in asked.seeds
    ]
    trainings += [
        (name, seed, under, None) for name, under in relabelled.items() for seed in asked.seeds
    ]

    def runs_of(execution: ResolvedExecution) -> list[RunInputs]:
        by_epochs = asked.budget == "epochs"
        return [
            RunInputs(
                under,
                protocol,
                seed,
                execution,
                members,
                len(members) if by_epochs and members is not None else None,
            )
            for _, seed, under, members in trainings
        ]

    runs_folder = Path(workdir) / RUNS
    resolved, inputs = settle_execution(
        runs_of,
        execution or Execution(),
        earlier,
        runs_folder,
        networks=len(trainings),
        cpu_precision=cpu_precision(protocol.model, data.shape),
    )
    return RetrainPlan(
        data=data,
        asked=asked,
        setup=Setup.resolved(protocol, resolved, seed=asked.seed),
        execution=resolved,
        names=tuple(name for name, *_ in trainings),
        runs=PlannedRuns.of(
            inputs,
            [Request(run.epochs, test=True) for run in inputs],
            runs_folder,
            [f"{name}, seed {seed}" for name, seed, *_ in trainings],
        ),
        workdir=Path(workdir),
    )


def run_retraining(plan: RetrainPlan, progress: Listener = silent) -> Outcomes:
    """Train the networks that a plan lacks, and give the test accuracy of all.

    Raises RunError when a training fails, and FileError when the cache cannot be written.
    """
    from prune_kit.runs.executor import complete_runs

    with holding(plan.workdir):
        results = complete_runs(plan.runs, progress)
    rows = tuple(
        _outcome(name, run, plan) for name, run in zip(plan.names, results.runs, strict=True)
    )
    return Outcomes(rows, plan.data.fingerprint, plan.data.rows.data)


def _check_rows(data: Dataset, named: Mapping[str, Chosen]) -> None:
    """Raise IdentityError unless all selections are of these data."""
    for name, chosen in named.items():
        kind = "removal" if isinstance(chosen, Removal) else "selection"
        check_same(
            data.rows,
            chosen.rows,
            f"the data {data.rows.data}",
            f"{kind} {name!r}",
            "`aligned_to` re-maps the rows",
        )


def _named(selections: Chosen | Mapping[str, Chosen]) -> dict[str, Chosen]:
    if isinstance(selections, Selection):
        return {"selection": selections}
    if isinstance(selections, Removal):
        return {"removal": selections}
    if not isinstance(selections, Mapping):
        check_kind(selections, Selection, "selections", "select")
    for name, chosen in selections.items():
        if not isinstance(chosen, Removal):
            check_kind(chosen, Selection, f"selections[{name!r}]", "select")
    return dict(selections)


def _outcome(name: str, run: "RecordedRun", plan: RetrainPlan) -> Outcome:
    """What came of one training on the rows of that name."""
    outcome = run.outcome()
    config = {
        **plan.setup.values(),
        "seed": run.seed,
        "budget": plan.asked.budget,
        "rows": index_digest(run.inputs.rows),
    }
    return Outcome(
        selection=name,
        seed=run.seed,
        kept=len(run.inputs.rows),
        test_accuracy=outcome["test_accuracy"],
        steps=outcome["steps"],
        epochs=outcome["steps"] / run.inputs.member_epoch_steps,
        seconds=outcome["seconds"],
        config=json.dumps(config),
    )
