"""coverage: drop the most suspect share, then draw evenly over the range of the score.

Paper: Zheng, Liu, Lai, Prakash 2023, https://arxiv.org/abs/2210.15809, algorithm 1 (CCS). There the
suspects are those of lowest AUM, `drop_hardest` grows with the share that is pruned (CIFAR-10: up
to 0.3 at 90 %), and there are 50 bins. Meant for high pruning rates.
"""

import numpy as np
from jaxtyping import Float64, Int, UInt8

from prune_kit.errors import OptionError
from prune_kit.results.selection import DROPPED_HARD, DROPPED_OTHER, KEPT
from prune_kit.results.table import ScoreTable
from prune_kit.selectors import check_room, count_kept, fill_reasons, finite_ranking, ranking

OPTIONS = {
    "drop_hardest": {
        "type": "float",
        "default": 0.0,
        "metavar": "F",
        "help": "The share to drop first, as suspect.",
    },
    "suspect_by": {
        "type": "str",
        "metavar": "COLUMN",
        "help": "What is suspect, such as aum@20; left out, the column that ranks.",
    },
    "bins": {
        "type": "int",
        "default": 50,
        "minimum": 1,
        "metavar": "B",
        "help": "Bins over the range of the score.",
    },
    "per_class": "shared",
    "seed": "shared",
}
USES_SCORES = True


def select(
    table: ScoreTable,
    *,
    by: str | None,
    keep: float,
    drop_hardest: float,
    suspect_by: str | None,
    bins: int,
    per_class: bool,
    seed: int,
) -> UInt8[np.ndarray, "N"]:
    """Drop the most suspect rows, then draw the same number from each bin of the score.

    K = round(keep * n) rows are kept. The suspects are min(round(drop_hardest * n), n - K) rows.
    The others fall into bins of equal width over the range of their scores. Each bin gives as many
    rows as every other, or all it has.

    Parameters
    ----------
    table, by, keep
        As `selectors.Rule`.
    drop_hardest
        The share to drop as suspect, 0 to 1 - keep.
    suspect_by
        The column whose hardest rows are suspect. None stands for `by`.
    bins
        The number of bins, at least 1.
    per_class
        Whether each class has a K, suspects and bins of its own.
    seed
        The seed of the draws from the bins.

    Raises
    ------
    OptionError
        If an option is out of range.
    TableError
        If the table has no such column, or if a score is not finite.
    """
    if suspect_by is not None and drop_hardest == 0:
        raise OptionError(
            f"suspect_by={suspect_by!r} does not drop anything by itself; say how much: "
            "drop_hardest=0.1"
        )
    order = finite_ranking(table, by)
    suspicion = np.empty(len(table.rows), dtype=np.int64)
    suspects_last = ranking(table, by if suspect_by is None else suspect_by)
    suspicion[suspects_last] = np.arange(len(suspects_last))
    hardness = table.hardness(by).astype(np.float64)
    rng = np.random.default_rng([seed, 3])

    def fill(reasons: np.ndarray, part: np.ndarray, of: str) -> None:
        kept = count_kept(keep, len(part), of)
        check_room(keep, drop_hardest, "drop_hardest")
        dropped = min(round(drop_hardest * len(part)), len(part) - kept)
        suspects = part[np.argsort(suspicion[part])][len(part) - dropped :]
        rest = part[~np.isin(part, suspects)]
        reasons[suspects] = DROPPED_HARD
        reasons[rest] = DROPPED_OTHER
        of_row = equal_bins(hardness[rest], bins)
        budgets = even_budgets(np.bincount(of_row, minlength=bins), kept)
        for number in np.flatnonzero(budgets):
            reasons[rng.choice(rest[of_row == number], size=budgets[number], replace=False)] = KEPT

    return fill_reasons(table, order, per_class, fill)


def equal_bins(scores: Float64[np.ndarray, "n"], bins: int) -> Int[np.ndarray, "n"]:
    """The number of the bin that each score falls into, of `bins` of equal width over their range.

    The largest score is in the last bin.
    """
    low = scores.min()
    width = np.ptp(scores)
    if width == 0:
        return np.zeros(len(scores), dtype=np.int64)
    number: np.ndarray = np.minimum((scores - low) / width * bins, bins - 1).astype(np.int64)
    return number


def even_budgets(counts: Int[np.ndarray, "B"], total: int) -> Int[np.ndarray, "B"]:
    """How many rows to draw from each bin: all of a small bin, and the same number of the others.

    The smallest bin comes first (of equal ones the first). Its share is what is left of `total`,
    divided by the bins that are left, rounded down.

    Parameters
    ----------
    counts
        The number of rows (B,) in each bin.
    total
        How many to draw in all, at most the sum of the counts.

    Returns
    -------
    budgets
        The number (B,) to draw from each bin. They sum to `total`.
    """
    budgets = np.zeros_like(counts)
    left = total
    for done, number in enumerate(np.argsort(counts, kind="stable")):
        budgets[number] = min(counts[number], left // (len(counts) - done))
        left -= int(budgets[number])
    assert left == 0
    return budgets
