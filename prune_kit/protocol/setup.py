"""What an earlier stage settled, and a later one keeps to: the protocol and the circumstances of the trainings."""

from typing import TYPE_CHECKING, Any

import numpy as np

from prune_kit.data.dataset import Dataset
from prune_kit.data.noise import draw_probes
from prune_kit.errors import TableError
from prune_kit.results.table import ScoreTable

if TYPE_CHECKING:
    from prune_kit.protocol.config import TrainConfig
    from prune_kit.protocol.execution import Execution


def scored_with(table: ScoreTable) -> dict[str, Any]:
    """The parameters of the trainings behind a table; empty when no column needed one."""
    return next((c.parameters for c in table.columns.values() if "config" in c.parameters), {})


def table_runs(table: ScoreTable) -> int:
    """How many runs stand behind the widest column of a table."""
    return max((column.runs for column in table.columns.values()), default=0)


def settled_probes(table: ScoreTable, share: float | None, seed: int) -> np.ndarray | None:
    """The planted labels (N,) that networks train on: those of the table, else drawn from `seed`; None for no share.

    Raises OptionError when it is out of range or makes no probe. `check_settled` compares it with
    the table's.
    """
    if share is None:
        return None
    if scored_with(table) and table.probe_label is not None:
        return table.probe_label  # not drawn again: another numpy may draw others
    return draw_probes(table.rows, share, seed)


def training_config(
    data: Dataset, settled: dict[str, Any], config: "TrainConfig | None", model: str | None
) -> "TrainConfig":
    """The protocol to train by: `config`, else the `settled` one of an earlier file, else the data set's."""
    from prune_kit.protocol.config import TrainConfig
    from prune_kit.protocol.defaults import protocol

    if config is None:
        config = TrainConfig.of(settled["config"]) if "config" in settled else protocol(data)
    return config.changed({"model": model}) if model else config


def trained_with(
    config: "TrainConfig", execution: "Execution", *, seed: int, observe: str, probes: float | None
) -> dict[str, Any]:
    """The parameters of trainings, as columns record them. `probes`, the share planted wrong, only where there are."""
    parameters = {
        "config": config.values(),
        "seed": seed,
        "observe": observe,
        "precision": execution.precision,
        "threads": execution.settled_threads,
    }
    return parameters if probes is None else {**parameters, "probes": probes}


def check_settled(settled: dict[str, Any], now: dict[str, Any]) -> None:
    """One table, one protocol: refuse another one, and say what differs."""
    if not settled:
        return
    before, after = (
        {"probes": "none", "compiled": False, **p, **p["config"]} for p in (settled, now)
    )
    names = ["seed", "observe", "precision", "probes", *(now["config"] | {"compiled": False})]
    if None not in (before.get("threads"), after["threads"]):  # as they are for GPUs
        names.append("threads")
    differing = [
        f"{n} {after[n]} (the table has {before[n]})"
        for n in names
        if _plain(before[n]) != _plain(after[n])
    ]
    if differing:
        raise TableError(
            f"the score table was made otherwise: {'; '.join(differing)}. "
            "Give --fresh to start the table anew, or another --workdir"
        )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
