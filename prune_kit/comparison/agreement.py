"""How far two scores agree on which examples are hard: rank correlations, overlap of the ends, and their intervals.

Everything here takes hardness, higher is harder, without NaN; two scores that call the same
examples hard agree positively whatever the directions in which they were written.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int, UInt64
from scipy import stats

from prune_kit.errors import OptionError

CONFIDENCE = 0.95
KENDALL_EXAMPLES = (
    1000  # the error of an error needs no more, and all pairs of them fit in a few megabytes
)


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval, whose ends are NaN where none was asked for or can be had."""

    value: float
    low: float = float("nan")
    high: float = float("nan")


@dataclass(frozen=True)
class Agreement:
    """How two scores agree over the n `rows` that both of them score.

    `spearman` and `kendall` (tau-b) lie in [-1, 1]. `hardest` and `easiest` are the shares, in [0,
    1], of one's k hardest (easiest) examples that are among the other's; chance alone gives k / n.
    A rank correlation is NaN where a score is the same for all rows.
    """

    rows: int
    spearman: Estimate
    kendall: Estimate
    hardest: Estimate
    easiest: Estimate


@dataclass(frozen=True, eq=False)
class SortedScore:
    """A score (n,), sorted once, so that every resample of its examples is ranked by counting, in O(n).

    `group` (n,) numbers the distinct values, ascending; `digest` (n,) breaks ties, as in every
    selection.
    """

    group: Int[np.ndarray, "n"]
    digest: UInt64[np.ndarray, "n"]

    @classmethod
    def of(cls, hardness: Float[np.ndarray, "n"], digest: UInt64[np.ndarray, "n"]) -> "SortedScore":
        """Sort a score of the examples that have these content digests, in the order of their rows."""
        return cls(np.unique(hardness, return_inverse=True)[1], digest)

    @cached_property
    def order(self) -> Int[np.ndarray, "n"]:
        """The examples from easiest to hardest, by (hardness, digest, row)."""
        return np.lexsort((self.digest, self.group))

    @cached_property
    def groups(self) -> int:
        """How many distinct values there are."""
        return int(self.group.max()) + 1

    def ranks(self, copies: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
        """The mean ranks, from 1, in a sample that holds example i `copies[i]` times; of no meaning where that is 0."""
        return _mean_ranks(self.group, copies)

    def ends(self, copies: Float[np.ndarray, "n"], count: int) -> Float[np.ndarray, "2 n"]:
        """How many of each example's copies are among the `count` hardest, and among the `count` easiest."""
        there = copies[self.order]
        upto = np.cumsum(there)
        others = upto[-1] - count
        first, last = (
            int(np.searchsorted(upto, others, side="right")),
            int(np.searchsorted(upto, count)),
        )
        taken = np.zeros((2, len(there)))
        taken[0, self.order[first:]] = there[first:]
        taken[0, self.order[first]] = (
            upto[first] - others
        )  # the copies of one example may lie on both sides
        taken[1, self.order[: last + 1]] = there[: last + 1]
        taken[1, self.order[last]] -= upto[last] - count
        return taken

    def drawn_by_ties(self, count: int) -> tuple[float, float]:
        """The shares of the `count` hardest and easiest that the score itself does not single out.

        They belong to a group of equals that is larger than the room left for it.
        """
        sizes = np.bincount(self.group)
        return _drawn(sizes[::-1], count), _drawn(sizes, count)


def agreements(
    hardness: Float[np.ndarray, "m n"],
    digest: UInt64[np.ndarray, "n"],
    pairs: Sequence[tuple[int, int]],
    *,
    top: float = 0.1,
    bootstrap: int = 200,
    seed: int = 0,
) -> list[Agreement]:
    """The agreement of each of the `pairs` of m scores of the same n examples.

    `top` is the share that counts as an end. The intervals of Spearman and of the overlaps are the
    percentiles of `bootstrap` resamples of the examples, the same for all pairs; Kendall's is the
    asymptotic one. With `bootstrap=0` there are none. Raises OptionError when `top` of the examples
    is none.
    """
    count = end_count(top, hardness.shape[1])
    columns = [SortedScore.of(values, digest) for values in hardness]
    n = hardness.shape[1]
    values = _statistics(columns, np.ones(n), pairs, count)
    low = high = np.full_like(values, np.nan)
    if bootstrap:
        chance = np.random.default_rng(seed)
        resamples = (
            np.bincount(chance.integers(n, size=n), minlength=n).astype(float)
            for _ in range(bootstrap)
        )
        draws = np.stack([_statistics(columns, copies, pairs, count) for copies in resamples])
        low, high = np.quantile(draws, ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2), axis=0)
    found = []
    for number, (x, y) in enumerate(pairs):
        rho, hardest, easiest = (
            Estimate(*map(float, of))
            for of in zip(values[number], low[number], high[number], strict=True)
        )
        tau = kendall(columns[x].group, columns[y].group, interval=bootstrap > 0, seed=seed)
        found.append(Agreement(n, rho, tau, hardest, easiest))
    return found


def end_count(top: float, n: int) -> int:
    """How many of n examples are an end: k = round(top * n). Raises OptionError for a share out of range, or k = 0."""
    if not 0 < top <= 0.5:
        raise OptionError(
            f"--top {top:g} is out of range; it is the share that counts as an end, above 0 and at "
            "most 0.5"
        )
    count = round(top * n)
    if count == 0:
        raise OptionError(
            f"--top {top:g} of {n:,} examples is none; the least is --top {1 / n:.2g}"
        )
    return count


def spearman(x: Float[np.ndarray, "n"], y: Float[np.ndarray, "n"]) -> float:
    """Spearman's rank correlation: Pearson's, of ranks, equal values sharing the mean of theirs; NaN if constant."""
    return float(unit_ranks(x) @ unit_ranks(y))


def unit_ranks(values: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """The mean ranks, centred and scaled to length 1, so that a dot product is Spearman's; NaN for a constant."""
    group = np.unique(values, return_inverse=True)[1]
    return _unit(_mean_ranks(group, np.ones(len(values))) - (len(values) + 1) / 2)


def kendall(
    x: Int[np.ndarray, "n"] | Float[np.ndarray, "n"],
    y: Int[np.ndarray, "n"] | Float[np.ndarray, "n"],
    *,
    interval: bool = True,
    seed: int = 0,
) -> Estimate:
    """Kendall's tau-b, exact, with an asymptotic interval; NaN when a score is constant.

        tau_b = S / sqrt(T_x T_y),  S = mean_ij sgn(x_i - x_j) sgn(y_i - y_j),  T_x = mean_ij sgn(x_i - x_j)^2

    S and T are U-statistics, so each is asymptotically a mean over examples (Hoeffding 1948), and
    so, to first order, is their ratio. The spread of its terms is taken from at most 1,000
    examples, drawn by `seed`.
    """
    tau = float(stats.kendalltau(x, y).statistic)
    if not interval or np.isnan(tau):
        return Estimate(tau)
    n = len(x)
    if n > KENDALL_EXAMPLES:
        rows = np.random.default_rng(seed).choice(n, KENDALL_EXAMPLES, replace=False)
        x, y = x[rows], y[rows]
    sign_x, sign_y = np.sign(np.subtract.outer(x, x)), np.sign(np.subtract.outer(y, y))
    both, in_x, in_y = (
        (one * other).mean(axis=1)
        for one, other in ((sign_x, sign_y), (sign_x, sign_x), (sign_y, sign_y))
    )
    mean_x, mean_y = in_x.mean(), in_y.mean()
    if not mean_x or not mean_y:  # the examples drawn for the error are all equal
        return Estimate(tau)
    scale = np.sqrt(mean_x * mean_y)
    terms = both / scale - both.mean() / scale * (in_x / mean_x + in_y / mean_y) / 2
    margin = float(stats.norm.ppf((1 + CONFIDENCE) / 2) * 2 * terms.std() / np.sqrt(n))
    return Estimate(tau, max(tau - margin, -1.0), min(tau + margin, 1.0))


def _statistics(
    columns: list[SortedScore],
    copies: Float[np.ndarray, "n"],
    pairs: Sequence[tuple[int, int]],
    count: int,
) -> Float[np.ndarray, "p 3"]:
    """Spearman, and the overlaps of the hardest and of the easiest `count`, in a sample with these copies, per pair."""
    middle = (copies.sum() + 1) / 2
    weighted = np.stack(
        [_unit(np.sqrt(copies) * (column.ranks(copies) - middle)) for column in columns]
    )
    correlation = weighted @ weighted.T
    ends = [column.ends(copies, count) for column in columns]
    overlaps = [np.minimum(ends[x], ends[y]).sum(axis=1) / count for x, y in pairs]
    return np.array(
        [[correlation[x, y], *overlap] for (x, y), overlap in zip(pairs, overlaps, strict=True)]
    )


def _mean_ranks(
    group: Int[np.ndarray, "n"], copies: Float[np.ndarray, "n"]
) -> Float[np.ndarray, "n"]:
    there = np.bincount(group, weights=copies)
    ranks: np.ndarray = (np.cumsum(there) - (there - 1) / 2)[group]
    return ranks


def _unit(vector: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    length = np.sqrt(np.square(vector).sum())
    return vector / length if length else np.full_like(vector, np.nan)


def _drawn(sizes: Int[np.ndarray, "g"], count: int) -> float:
    """The share of the first `count` examples, of groups of these sizes, in the group that `count` cuts."""
    upto = np.cumsum(sizes)
    cut = int(np.searchsorted(upto, count))
    return 0.0 if upto[cut] == count else float(count - (upto[cut] - sizes[cut])) / count
