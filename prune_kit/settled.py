"""What an earlier stage settled, and a later one keeps to: the protocol and the circumstances of the trainings."""

from typing import TYPE_CHECKING, Any

from prune_kit.data.dataset import Dataset
from prune_kit.errors import TableError
from prune_kit.table import ScoreTable

if TYPE_CHECKING:
    from prune_kit.training.config import TrainConfig


def scored_with(table: ScoreTable) -> dict[str, Any]:
    """The parameters of the trainings behind a table; empty when no column needed one."""
    return next((c.parameters for c in table.columns.values() if "config" in c.parameters), {})


def table_runs(table: ScoreTable) -> int:
    """How many runs stand behind the widest column of a table."""
    return max((column.runs for column in table.columns.values()), default=0)


def training_config(
    data: Dataset, settled: dict[str, Any], config: "TrainConfig | None", model: str | None
) -> "TrainConfig":
    """The protocol to train by: `config`, else the `settled` one of an earlier file, else the data set's."""
    from prune_kit.training.config import TrainConfig
    from prune_kit.training.protocols import protocol

    if config is None:
        config = TrainConfig.of(settled["config"]) if settled else protocol(data)
    return config.changed({"model": model}) if model else config


def check_settled(settled: dict[str, Any], now: dict[str, Any]) -> None:
    """One table, one protocol: refuse another one, and say what differs."""
    if not settled:
        return
    before, after = ({**p, **p["config"]} for p in (settled, now))
    names = ("seed", "observe", "precision", *now["config"])
    differing = [f"{n} {after[n]} (the table has {before[n]})" for n in names if _plain(before[n]) != _plain(after[n])]
    if differing:
        raise TableError(
            f"the score table was made otherwise: {'; '.join(differing)}. "
            "Give --fresh to start the table anew, or another --workdir"
        )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
