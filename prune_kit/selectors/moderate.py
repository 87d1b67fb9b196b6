"""moderate: keep the examples nearest to the median of the score in their class.

Paper: Xia, Liu, Yu, Shen, Han, Liu 2023, https://openreview.net/forum?id=7D5EECbOaf9 (Moderate
coreset). Meant for class_distance.
"""

import numpy as np
from jaxtyping import Float64, UInt8

from prune_kit.results.selection import DROPPED_EASY, DROPPED_HARD, KEPT
from prune_kit.results.table import ScoreTable
from prune_kit.selectors import count_kept, fill_reasons, finite_ranking

OPTIONS = {"per_class": {"default": True}}
USES_SCORES = True


def select(
    table: ScoreTable, *, by: str | None, keep: float, per_class: bool
) -> UInt8[np.ndarray, "N"]:
    """Keep the K = round(keep * n) rows of each class whose scores are nearest to their median.

    The kept rows are a band of the ranking. What lies below it is dropped as easy, what lies above
    it as hard. Nearest is by value, as the paper says; its authors' code takes as many rows below
    the median as above.

    Parameters
    ----------
    table, by, keep
        As `selectors.Rule`.
    per_class
        Whether each class has a band of its own. Otherwise there is one over all classes.

    Raises
    ------
    OptionError
        If `keep` is out of range.
    TableError
        If the table has no such column, or if a score is not finite.
    """
    hardness = table.hardness(by).astype(np.float64)

    def fill(reasons: np.ndarray, part: np.ndarray, of: str) -> None:
        start, stop = middle_band(hardness[part], count_kept(keep, len(part), of))
        reasons[part[:start]] = DROPPED_EASY
        reasons[part[start:stop]] = KEPT
        reasons[part[stop:]] = DROPPED_HARD

    return fill_reasons(table, finite_ranking(table, by), per_class, fill)


def middle_band(ascending: Float64[np.ndarray, "n"], count: int) -> tuple[int, int]:
    """The positions (start, stop) of the `count` values nearest to their median.

    Parameters
    ----------
    ascending
        The values (n,), sorted.
    count
        How many, at most n. Of values equally near, the middlemost are taken.
    """
    middle = (len(ascending) - 1) / 2
    position = np.arange(len(ascending))
    nearest = np.lexsort(
        (position, np.abs(position - middle), np.abs(ascending - np.median(ascending)))
    )
    start = int(nearest[:count].min())
    return start, start + count
