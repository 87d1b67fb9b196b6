"""How far two scores agree on which examples are hard: rank correlations and overlaps of the ends.

Every score here is hardness: a higher value is harder, and there is no NaN. Two scores that call
the same examples hard agree positively, whatever the directions in which they were written.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int, UInt64
from scipy import stats

from prune_kit.errors import OptionError
from prune_kit.results.outcomes import CONFIDENCE

# the error of an error requires no more, and all pairs of them fit in a few megabytes
KENDALL_EXAMPLES = 1000


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval. The ends are NaN where there is no interval."""

    value: float
    low: float = float("nan")
    high: float = float("nan")


@dataclass(frozen=True)
class Agreement:
    """How two scores agree over the rows that both of them score.

    Attributes
    ----------
    rows : int
        The number n of rows.
    spearman, kendall : Estimate
        Rank correlations in [-1, 1]; Kendall's is tau-b. NaN where a score is constant.
    hardest, easiest : Estimate
        The share, in [0, 1], of the k hardest (easiest) rows of one score that are among those of
        the other. Two unrelated scores have k / n in common.
    """

    rows: int
    spearman: Estimate
    kendall: Estimate
    hardest: Estimate
    easiest: Estimate


@dataclass(frozen=True, eq=False)
class SortedScore:
    """A score that is sorted once. Every resample of its examples is then ranked in O(n).

    Attributes
    ----------
    group : (n,) int
        The number of each value among the distinct values, ascending.
    digest : (n,) uint64
        The content digests of the examples. They break ties, as in every selection.
    """

    group: Int[np.ndarray, "n"]
    digest: UInt64[np.ndarray, "n"]

    @classmethod
    def of(cls, hardness: Float[np.ndarray, "n"], digest: UInt64[np.ndarray, "n"]) -> "SortedScore":
        """Sort the hardness (n,) of the examples with the content digests `digest` (n,)."""
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
        """The mean ranks, from 1, in a sample that holds example i `copies[i]` times.

        The rank of an example without a copy has no meaning.
        """
        return _mean_ranks(self.group, copies)

    def ends(self, copies: Float[np.ndarray, "n"], count: int) -> Float[np.ndarray, "2 n"]:
        """How many copies of each example are among the `count` hardest, and easiest."""
        sorted_copies = copies[self.order]
        upto = np.cumsum(sorted_copies)
        others = upto[-1] - count
        first = int(np.searchsorted(upto, others, side="right"))
        last = int(np.searchsorted(upto, count))
        taken = np.zeros((2, len(sorted_copies)))
        taken[0, self.order[first:]] = sorted_copies[first:]
        # the copies of one example may lie on both sides
        taken[0, self.order[first]] = upto[first] - others
        taken[1, self.order[: last + 1]] = sorted_copies[: last + 1]
        taken[1, self.order[last]] -= upto[last] - count
        return taken

    def drawn_by_ties(self, count: int) -> tuple[float, float]:
        """The shares of the `count` hardest, and of the easiest, that ties decide.

        These examples belong to a group of equal values that does not fit as a whole.
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
    """Compute the agreement of pairs of scores.

    The intervals of Spearman and of the overlaps are percentiles of resamples of the examples, the
    same resamples for all pairs. Kendall's interval is asymptotic.

    Parameters
    ----------
    hardness : (m, n) float
        m scores of the same n examples.
    digest : (n,) uint64
        The content digests of the examples. They break ties.
    pairs : sequence of (int, int)
        Which scores to compare.
    top : float
        The share of the examples that counts as an end, in (0, 0.5].
    bootstrap : int
        The number of resamples. 0 gives no intervals, of Kendall's neither.
    seed : int
        Of the resamples.

    Returns
    -------
    list of Agreement
        One for each pair.

    Raises
    ------
    OptionError
        `top` is out of range, or `top` of the examples is none.
    """
    n = hardness.shape[1]
    count = end_count(top, n)
    columns = [SortedScore.of(values, digest) for values in hardness]
    values = _statistics(columns, np.ones(n), pairs, count)
    low = high = np.full_like(values, np.nan)
    if bootstrap:
        rng = np.random.default_rng(seed)
        resamples = (
            np.bincount(rng.integers(n, size=n), minlength=n).astype(float)
            for _ in range(bootstrap)
        )
        draws = np.stack([_statistics(columns, copies, pairs, count) for copies in resamples])
        low, high = np.quantile(draws, ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2), axis=0)
    computed = []
    for number, (x, y) in enumerate(pairs):
        rho, hardest, easiest = (
            Estimate(*map(float, of))
            for of in zip(values[number], low[number], high[number], strict=True)
        )
        tau = kendall(columns[x].group, columns[y].group, interval=bootstrap > 0, seed=seed)
        computed.append(Agreement(n, rho, tau, hardest, easiest))
    return computed


def end_count(top: float, n: int) -> int:
    """The number of examples in an end, k = round(top * n).

    Parameters
    ----------
    top : float
        The share of the examples that counts as an end, in (0, 0.5].
    n : int
        The number of examples.

    Raises
    ------
    OptionError
        `top` is out of range, or k is 0.
    """
    if not 0 < top <= 0.5:
        raise OptionError(
            f"top={top:g} is out of range; it is the share that counts as an end, above 0 and at "
            "most 0.5"
        )
    count = round(top * n)
    if count == 0:
        raise OptionError(f"top={top:g} of {n:,} examples is none; the least is top={1 / n:.2g}")
    return count


def spearman(x: Float[np.ndarray, "n"], y: Float[np.ndarray, "n"]) -> float:
    """Spearman's rank correlation of two scores (n,), in [-1, 1]; NaN where one is constant.

    It is Pearson's correlation of the ranks. Equal values share the mean of their ranks.
    """
    return float(unit_ranks(x) @ unit_ranks(y))


def unit_ranks(values: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """The mean ranks of a score (n,), centred and scaled to length 1; NaN for a constant score.

    The dot product of two of them is Spearman's rank correlation.
    """
    group = np.unique(values, return_inverse=True)[1]
    return _unit(_mean_ranks(group, np.ones(len(values))) - (len(values) + 1) / 2)


def kendall(
    x: Int[np.ndarray, "n"] | Float[np.ndarray, "n"],
    y: Int[np.ndarray, "n"] | Float[np.ndarray, "n"],
    *,
    interval: bool = True,
    seed: int = 0,
) -> Estimate:
    """Kendall's tau-b, exact, with an asymptotic interval.

        tau_b = S / sqrt(T_x T_y)
        S = mean_ij sgn(x_i - x_j) sgn(y_i - y_j),    T_x = mean_ij sgn(x_i - x_j)^2

    S and T are U-statistics. Each is asymptotically a mean over examples (Hoeffding 1948), and so,
    to first order, is their ratio. At most 1,000 examples give the spread of its terms.

    Parameters
    ----------
    x, y : (n,) int or float
        Two scores.
    interval : bool
        Whether to give the interval.
    seed : int
        Draws the examples behind the interval.

    Returns
    -------
    Estimate
        In [-1, 1]; NaN where a score is constant.
    """
    tau = float(stats.kendalltau(x, y).statistic)
    if not interval or np.isnan(tau):
        return Estimate(tau)
    n = len(x)
    if n > KENDALL_EXAMPLES:
        rows = np.random.default_rng(seed).choice(n, KENDALL_EXAMPLES, replace=False)
        x, y = x[rows], y[rows]
    sign_x = np.sign(np.subtract.outer(x, x))
    sign_y = np.sign(np.subtract.outer(y, y))
    both, in_x, in_y = (
        (one * other).mean(axis=1)
        for one, other in ((sign_x, sign_y), (sign_x, sign_x), (sign_y, sign_y))
    )
    mean_x = in_x.mean()
    mean_y = in_y.mean()
    if not mean_x or not mean_y:  # the examples behind the interval are all equal
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
    """Spearman and the overlaps of both ends, for each pair, in a sample with these copies."""
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
    sizes = np.bincount(group, weights=copies)
    ranks: np.ndarray = (np.cumsum(sizes) - (sizes - 1) / 2)[group]
    return ranks


def _unit(vector: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    length = np.sqrt(np.square(vector).sum())
    return vector / length if length else np.full_like(vector, np.nan)


def _drawn(sizes: Int[np.ndarray, "g"], count: int) -> float:
    """The share of the first `count` examples in the group that `count` splits."""
    upto = np.cumsum(sizes)
    split = int(np.searchsorted(upto, count))
    return 0.0 if upto[split] == count else float(count - (upto[split] - sizes[split])) / count
