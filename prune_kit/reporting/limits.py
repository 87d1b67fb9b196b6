"""How much of everything the page shows, so that it stays small whatever the data are; the page states each limit."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from prune_kit.results.ranking import ascending
from prune_kit.results.table import ScoreTable

COLUMNS = 10  # score columns with figures and images
BOXES = 20  # classes in a figure
GALLERIES = 10  # classes with images in the section of a score
EXAMPLES = 20  # classes in the grid of examples
SUSPECTS = 40
MOST_PER_CLASS = 20
TABLE_ROWS = 30
LINES = 30  # of a dot plot
IMAGE_BYTES = 2_500_000  # of all data URIs of the data's images together

Index = Int[np.ndarray, "..."]


def columns(table: ScoreTable) -> list[str]:
    """The columns with sections, in the order of the table: of too many, first the latest epoch of each method."""
    latest = {table.columns[name].method: name for name in sorted(table.columns, key=_epoch)}
    rank = {
        name: (latest[table.columns[name].method] != name, -_epoch(name)) for name in table.columns
    }
    chosen = set(sorted(table.columns, key=rank.__getitem__)[:COLUMNS])
    return [name for name in table.columns if name in chosen]


def _epoch(name: str) -> int:
    epoch = name.partition("@")[2]
    return int(epoch) if epoch.isdigit() else -1


def ranked(table: ScoreTable, by: str) -> Index:
    """The training rows with a finite score, from easiest to hardest, by (hardness, digest, row)."""
    hardness, rows = table.hardness(by), table.rows.training
    rows = rows[np.isfinite(hardness[rows])]
    order: Index = rows[ascending(hardness[rows], table.rows.digest[rows])]
    return order


def quantiles(groups: Sequence[Index], values: Float[np.ndarray, "N"]) -> Float[np.ndarray, "C 5"]:
    """The 5th, 25th, 50th, 75th and 95th percentile of each group's values; NaN for a group without rows."""
    found = np.full((len(groups), 5), np.nan)
    for number, group in enumerate(groups):
        if len(group):
            found[number] = np.percentile(values[group].astype(np.float64), (5, 25, 50, 75, 95))
    return found


def most_extreme(medians: Float[np.ndarray, "C"], median: float, count: int) -> list[int]:
    """The `count` classes whose medians are furthest from `median`; those without a median are left out."""
    distance = np.abs(medians - median)
    there = np.flatnonzero(np.isfinite(distance))
    chosen: list[int] = there[np.argsort(-distance[there], kind="stable")][:count].tolist()
    return chosen


def of_many(shown: int, there: int, noun: str) -> str:
    """`20 of 1,000 classes are shown. ` or nothing where all are."""
    return f"{shown:,} of {there:,} {noun} are shown. " if shown < there else ""


def class_called(name: str) -> str:
    """A class's name as it stands in a sentence: a bare number says that it is a class."""
    return f"class {name}" if name.isdigit() else name
