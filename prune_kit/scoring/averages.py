"""Score columns: what a method gives, averaged over the runs, with everything that made it."""

import time
from collections.abc import Mapping
from types import MappingProxyType, ModuleType
from typing import Any

import numpy as np

from prune_kit.data.dataset import Dataset
from prune_kit.data.identity import TRAIN
from prune_kit.results.column import ScoreColumn
from prune_kit.scorers import Runs
from prune_kit.scoring.columns import WITHOUT_RUNS, column_name, needs, plain, scorer_of


def score_column(
    data: Dataset,
    runs: Runs,
    method: str,
    epoch: int | None,
    companion: bool,
    parameters: dict[str, Any],
    options: Mapping[str, Any] = MappingProxyType({}),
) -> ScoreColumn:
    """Score every example by one method, average over the runs, and say what made it.

    Parameters
    ----------
    data
        The examples. Where a method needs networks, they have the labels that the networks saw.
    runs
        The runs, which have recorded what the method needs.
    method
        The name of the score.
    epoch
        The number of finished epochs. None where the method has no epochs.
    companion
        Whether the column is scored along with another, and nobody asked for it.
    parameters
        How the networks were made, as `Setup.values` says it. Where the method needs no network,
        the column keeps the seed of the runs instead.
    options
        Every option that the method declares.
    """
    module = scorer_of(method)
    needed = needs(method, options)
    started = time.monotonic()
    scores = module.score(data, runs, epoch=epoch, **options)
    seconds = time.monotonic() - started
    extras: dict[str, np.ndarray] = {}
    test: dict[str, np.ndarray] = {}
    own: dict[str, Any] = {"seed": runs.seed}
    if needed != "nothing":
        extras = _extras(module, data, runs, scores, epoch, options)
        scores = _combined(module, scores)
        seconds += (
            runs.holdout.seconds
            if needed == "folds"
            else sum(run.outcome()["seconds"] for run in runs.recorded)
        )
        own = dict(parameters) if epoch is None else {**parameters, "epoch": epoch}
    if hasattr(module, "score_test"):
        found = module.score_test(data, runs, epoch=epoch, **options).astype(np.float32)
        test = {"scores": _combined(module, found).astype(np.float32)} | (
            {"per_run": found} if found.ndim == 2 else {}
        )
    if hasattr(module, "provenance"):
        own |= module.provenance(runs, epoch=epoch, **options)
    return ScoreColumn(
        name=column_name((method, epoch)),
        values=np.where(data.rows.role == TRAIN, scores, np.nan).astype(np.float32),
        method=method,
        harder="higher" if module.HIGHER_MEANS == "harder" else "lower",
        parameters=own | {name: plain(value) for name, value in options.items()},
        seeds=() if needed in WITHOUT_RUNS else tuple(run.seed for run in runs.recorded),
        seconds=seconds,
        companion=companion,
        extras=extras,
        test=test,
    )


def _combined(module: ModuleType, scores: np.ndarray) -> np.ndarray:
    """The column (N,) of what the runs have (R, N): their mean, or the sum of counts."""
    if scores.ndim == 1:
        return scores
    total: np.ndarray = scores.sum(axis=0, dtype=np.float64)
    return total if getattr(module, "COUNTS_RUNS", False) else total / len(scores)


def _extras(
    module: ModuleType,
    data: Dataset,
    runs: Runs,
    scores: np.ndarray,
    epoch: int | None,
    options: Mapping[str, Any],
) -> dict[str, np.ndarray]:
    """What is kept beside a column: what it averages, and what the method adds."""
    kind = getattr(module, "AVERAGES", "per_run")
    extras: dict[str, np.ndarray] = {}
    if scores.ndim == 2:
        extras[kind] = np.where(data.rows.role == TRAIN, scores, np.nan).astype(np.float32)
    if hasattr(module, "extra_arrays"):
        extras |= module.extra_arrays(data, runs, scores, epoch=epoch, **options)
    if epoch is not None and getattr(module, "KEEPS_PROBABILITY", False):
        averaged = [
            probability
            for run in runs.recorded
            if (probability := run.probability(epoch)) is not None
        ]
        if len(averaged) == len(runs.recorded):
            extras["probability"] = np.mean(averaged, axis=0).astype(np.float16)
    return extras
