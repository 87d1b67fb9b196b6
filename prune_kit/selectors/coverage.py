"""coverage: drop the most suspect share, then draw evenly over the range of the score; for high pruning rates.

Paper: Zheng, Liu, Lai, Prakash 2023, https://arxiv.org/abs/2210.15809, algorithm 1 (CCS). There the
suspects are those of lowest AUM, `drop_hardest` grows with the share that is pruned (CIFAR-10: up
to 0.3 at 90 %), and there are 50 bins.
"""

import numpy as np
from jaxtyping import Float64, Int, UInt8

from prune_kit.errors import OptionError
from prune_kit.results.selection import DROPPED_HARD, DROPPED_OTHER, KEPT
from prune_kit.results.table import ScoreTable
from prune_kit.selectors import check_room, count_kept, fill_reasons, finite_ranking, ranking

OPTIONS = ("keep", "drop_hardest", "suspect_by", "bins", "per_class", "seed")
USES_SCORES = True


def select(
    table: ScoreTable,
    *,
    by: str | None,
    keep: float,
    drop_hardest: float = 0.0,
    suspect_by: str | None = None,
    bins: int = 50,
    per_class: bool = False,
    seed: int = 0,
) -> UInt8[np.ndarray, "N"]:
    """Drop the share `drop_hardest` that is hardest by `suspect_by` (left out: by `by`), then draw from equal bins.

    K = round(keep * n) rows are kept, the suspects are min(round(drop_hardest * n), n - K). The
    others fall into `bins` bins of equal width over the range of their scores, and each bin gives
    as many rows as every other, or all it has. Within each class where `per_class` says so, with K,
    suspects and bins of its own.

    Raises OptionError for what is out of range, TableError for a column that is not there or not
    finite.
    """
    if bins < 1:
        raise OptionError(f"bins={bins} is out of range; at least 1")
    if suspect_by is not None and drop_hardest == 0:
        raise OptionError(
            f"suspect_by={suspect_by!r} does not drop anything by itself; say how much: drop_hardest=0.1"
        )
    order = finite_ranking(table, by)
    suspicion = np.empty(len(table.rows), dtype=np.int64)
    suspects_last = ranking(table, by if suspect_by is None else suspect_by)
    suspicion[suspects_last] = np.arange(len(suspects_last))
    hardness = table.hardness(by).astype(np.float64)
    chance = np.random.default_rng([seed, 3])

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
            reasons[chance.choice(rest[of_row == number], size=budgets[number], replace=False)] = (
                KEPT
            )

    return fill_reasons(table, order, per_class, fill)


def equal_bins(scores: Float64[np.ndarray, "n"], bins: int) -> Int[np.ndarray, "n"]:
    """Which of `bins` bins of equal width over their range the scores fall into; the largest is in the last one."""
    low, width = scores.min(), np.ptp(scores)
    if width == 0:
        return np.zeros(len(scores), dtype=np.int64)
    number: np.ndarray = np.minimum((scores - low) / width * bins, bins - 1).astype(np.int64)
    return number


def even_budgets(counts: Int[np.ndarray, "B"], total: int) -> Int[np.ndarray, "B"]:
    """How many of `total` to draw from each bin of so many: at most all, and otherwise evenly.

    The smallest bin first (of equal ones the first): its share is what is left of `total` divided
    by the bins that are left, rounded down. They sum to `total`, which is at most the sum of the
    counts.
    """
    budgets = np.zeros_like(counts)
    left = total
    for done, number in enumerate(np.argsort(counts, kind="stable")):
        budgets[number] = min(counts[number], left // (len(counts) - done))
        left -= int(budgets[number])
    assert left == 0
    return budgets
