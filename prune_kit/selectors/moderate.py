"""moderate: keep the examples nearest to the median of the score in their class; meant for class_distance.

Paper: Xia, Liu, Yu, Shen, Han, Liu 2023, https://openreview.net/forum?id=7D5EECbOaf9 (Moderate
coreset).
"""

import numpy as np
from jaxtyping import Float64, UInt8

from prune_kit.results.selection import DROPPED_EASY, DROPPED_HARD, KEPT
from prune_kit.results.table import ScoreTable
from prune_kit.selectors import count_kept, fill_reasons, finite_ranking

OPTIONS = ("keep", "per_class")
USES_SCORES = True


def select(
    table: ScoreTable, *, by: str | None, keep: float, per_class: bool = True
) -> UInt8[np.ndarray, "N"]:
    """Keep the K = round(keep * n) rows of each class whose scores are nearest to the median of these scores.

    The kept rows are a band of the ranking; what lies below it is dropped as easy, above it as
    hard. Nearest is by value, as the paper says; its authors' code takes as many rows below the
    median as above. Without `per_class` there is one band over all classes. Raises OptionError;
    TableError for a column that is not there or not finite.
    """
    hardness = table.hardness(by).astype(np.float64)

    def fill(reasons: np.ndarray, part: np.ndarray, of: str) -> None:
        start, stop = middle_band(hardness[part], count_kept(keep, len(part), of))
        reasons[part[:start]] = DROPPED_EASY
        reasons[part[start:stop]] = KEPT
        reasons[part[stop:]] = DROPPED_HARD

    return fill_reasons(table, finite_ranking(table, by), per_class, fill)


def middle_band(ascending: Float64[np.ndarray, "n"], count: int) -> tuple[int, int]:
    """The positions (start, stop) of the `count` values nearest to their median; of those as near, the middlemost."""
    middle = (len(ascending) - 1) / 2
    position = np.arange(len(ascending))
    nearest = np.lexsort(
        (position, np.abs(position - middle), np.abs(ascending - np.median(ascending)))
    )
    start = int(nearest[:count].min())
    return start, start + count
