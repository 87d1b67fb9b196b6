"""From the methods asked for to score columns: which there must be, what the runs must record, the averages."""

import time
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from prune_kit import catalog
from prune_kit.data.dataset import Dataset
from prune_kit.errors import OptionError
from prune_kit.identity import TRAIN
from prune_kit.scorers import Runs
from prune_kit.table import ScoreColumn, ScoreTable

if TYPE_CHECKING:
    from prune_kit.training.runs import Request

SCORERS = "prune_kit.scorers"
Column = tuple[str, int | None]  # method, epoch


def column_name(column: Column) -> str:
    """`el2n@20`, or `random` where no epoch applies."""
    method, epoch = column
    return method if epoch is None else f"{method}@{epoch}"


def method_names(methods: str | Sequence[str]) -> list[str]:
    """Names from one text or several, each perhaps a comma-separated list; without repeats. Raises OptionError."""
    listed = [methods] if isinstance(methods, str) else methods
    names = list(dict.fromkeys(name.strip() for entry in listed for name in entry.split(",") if name.strip()))
    if not names:
        raise OptionError(f"--method names no method; there are: {', '.join(catalog.module_names(SCORERS))}")
    return names


def _scorer(method: str) -> ModuleType:
    return catalog.load(SCORERS, method, "method")


def columns_for(methods: list[str], epochs: list[int], last: int) -> dict[Column, bool]:
    """The columns that methods and epochs ask for; True for a companion that nobody named, behind the others."""
    columns: dict[Column, bool] = {}
    for method in methods:
        needs = _scorer(method).NEEDS
        if needs == "nothing":
            columns[method, None] = False
            continue
        first = 1 if needs == "minibatches" else 0
        for epoch in epochs:
            if not first <= epoch <= last:
                longer = f", or lengthen it: --train epochs={epoch}" if epoch > last else ""
                raise OptionError(
                    f"--epoch {epoch} is out of range for {method}: the protocol has epochs {first} to {last}. "
                    f"Choose one of them{longer}"
                )
            columns[method, epoch] = False
    for method in methods:
        for companion in getattr(_scorer(method), "COMPANIONS", ()):
            columns.setdefault((companion, None), True)
    return columns


def is_there(table: ScoreTable, column: Column, seeds: tuple[int, ...]) -> bool:
    """Whether the table has the column, from just these seeds."""
    found = table.columns.get(column_name(column))
    return found is not None and (_scorer(column[0]).NEEDS == "nothing" or found.seeds == seeds)


def request_for(columns: list[Column], observe: str) -> "Request | None":
    """What the runs must record for these columns; None where no column needs a network.

    The signals of the minibatches are free, so they are always recorded; at an epoch for which a clean sweep or the
    weights are needed both are kept. So another method costs no training later.
    """
    from prune_kit.training.runs import Request

    trained = [(_scorer(method).NEEDS, epoch) for method, epoch in columns if epoch is not None]
    if not trained:
        return None
    clean = frozenset(epoch for needs, epoch in trained if needs != "minibatches")
    cumulative = max((epoch for needs, epoch in trained if needs == "minibatches"), default=0)
    every = frozenset(range(1, cumulative + 1)) if observe == "sweep" else frozenset()
    return Request(max(epoch for _, epoch in trained), minibatches=True, sweeps=clean | every, weights=clean)


def score_column(
    data: Dataset, runs: Runs, method: str, epoch: int | None, companion: bool, parameters: dict[str, Any]
) -> ScoreColumn:
    """Score every example by one method, average over the runs, and say what made it."""
    module = _scorer(method)
    started = time.monotonic()
    scores = module.score(data, runs, epoch=epoch)
    seconds = time.monotonic() - started
    extras: dict[str, np.ndarray] = {}
    if epoch is not None:
        seconds += sum(run.outcome()["seconds"] for run in runs.recorded)
        extras = _extras(module, data, runs, scores, epoch)
        scores = np.mean(scores, axis=0, dtype=np.float64)
    return ScoreColumn(
        name=column_name((method, epoch)),
        values=np.where(data.rows.role == TRAIN, scores, np.nan).astype(np.float32),
        method=method,
        harder="higher" if module.HIGHER_MEANS == "harder" else "lower",
        parameters={"seed": runs.seed} if epoch is None else {**parameters, "epoch": epoch},
        seeds=() if epoch is None else tuple(run.seed for run in runs.recorded),
        seconds=seconds,
        companion=companion,
        extras=extras,
    )


def _extras(module: ModuleType, data: Dataset, runs: Runs, per_run: np.ndarray, epoch: int) -> dict[str, np.ndarray]:
    """What is kept beside a column: the scores of each run, and what the method adds."""
    extras = {"per_run": np.where(data.rows.role == TRAIN, per_run, np.nan).astype(np.float32)}
    if hasattr(module, "never_learned"):
        extras["never_learned"] = module.never_learned(per_run, epoch).astype(np.int32)
    if getattr(module, "KEEPS_PROBABILITY", False):
        averaged = [probability for run in runs.recorded if (probability := run.probability(epoch)) is not None]
        if len(averaged) == len(runs.recorded):
            extras["probability"] = np.mean(averaged, axis=0).astype(np.float16)
    return extras
