"""The limits that keep the page small for any data. The page states each of them."""

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
IMAGE_BYTES = 2_500_000  # of the data URIs of all images of the data together

Index = Int[np.ndarray, "..."]


def columns(table: ScoreTable) -> list[str]:
    """The names of the columns with a section, in the order of the table.

    If there are too many columns, the latest epoch of each method is taken first.
    """
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
    """The training rows with a finite score, easiest first, by (hardness, digest, row)."""
    hardness = table.hardness(by)
    rows = table.rows.training
    rows = rows[np.isfinite(hardness[rows])]
    order: Index = rows[ascending(hardness[rows], table.rows.digest[rows])]
    return order


def quantiles(groups: Sequence[Index], values: Float[np.ndarray, "N"]) -> Float[np.ndarray, "C 5"]:
    """The 5th, 25th, 50th, 75th and 95th percentile of each group; NaN for an empty group."""
    percentiles = np.full((len(groups), 5), np.nan)
    for number, group in enumerate(groups):
        if len(group):
            sample = values[group].astype(np.float64)
            percentiles[number] = np.percentile(sample, (5, 25, 50, 75, 95))
    return percentiles


def most_extreme(medians: Float[np.ndarray, "C"], median: float, count: int) -> list[int]:
    """The `count` classes whose medians are furthest from `median`, without those that are NaN.

    Parameters
    ----------
    medians
        The median of each class, (C,).
    median
        The median of all rows.
    count
        The largest number of classes.
    """
    distance = np.abs(medians - median)
    classes = np.flatnonzero(np.isfinite(distance))
    chosen: list[int] = classes[np.argsort(-distance[classes], kind="stable")][:count].tolist()
    return chosen


def of_many(shown: int, total: int, noun: str) -> str:
    """`20 of 1,000 classes are shown. ` or "" if all are shown.

    Parameters
    ----------
    shown
        How many are shown.
    total
        How many there are.
    noun
        What they are, in the plural.
    """
    return f"{shown:,} of {total:,} {noun} are shown. " if shown < total else ""


def class_called(name: str) -> str:
    """The name of a class for a sentence. A name that is a number follows the word "class"."""
    return f"class {name}" if name.isdigit() else name
