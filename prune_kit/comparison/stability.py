"""How many runs are enough: do two means over k runs rank the examples alike?

Data Diet (https://arxiv.org/abs/2107.07075, appendix D.1, Figures 9 and 10) plots Spearman between
the mean of k runs and the mean of all R. That curve ends at 1 by construction, because the k runs
are among the R. So the agreement of two means without a common run decides here.
"""

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Float

from prune_kit.comparison.agreement import unit_ranks
from prune_kit.errors import OptionError

FEW_GROUPS = 20  # up to this number, all groups of a size are formed
SPLITS = 5  # random splits of the runs into groups of a size, where there are more groups
SHOWN = 10  # group sizes, where there are more runs


@dataclass(frozen=True)
class Stability:
    """The agreement of means over k of R runs, in Spearman's rho.

    Attributes
    ----------
    column : str
        The name of the score.
    runs : int
        The number R of runs.
    sizes : tuple of int
        The k that are measured, ascending.
    with_all : tuple of float
        For each k, the agreement with the mean of all R runs, as in Data Diet.
    independent : tuple of float
        For each k, the agreement with the mean of k other runs. NaN above R / 2.
    bar : float
        The agreement that is asked for, in (0, 1).
    """

    column: str
    runs: int
    sizes: tuple[int, ...]
    with_all: tuple[float, ...]
    independent: tuple[float, ...]
    bar: float

    @property
    def measured(self) -> tuple[int, float] | None:
        """The largest k with two disjoint groups, and their agreement; None for a single run."""
        known = [
            (k, rho)
            for k, rho in zip(self.sizes, self.independent, strict=True)
            if 2 * k <= self.runs
        ]
        return known[-1] if known else None

    @property
    def enough(self) -> int | None:
        """The least k whose independent means reach the bar; None where none does."""
        reached = (
            k for k, rho in zip(self.sizes, self.independent, strict=True) if rho >= self.bar
        )
        return next(reached, None)

    @property
    def predicted(self) -> int | None:
        """The number of runs at the bar, by the Spearman-Brown formula; None without agreement.

        With rho_1 the agreement of single runs that the largest groups imply,

            rho_1 = rho_k / (k - (k - 1) rho_k),   rho_m = m rho_1 / (1 + (m - 1) rho_1)

        (Spearman 1910; Brown 1910). The formula holds for Pearson's correlation of parallel runs,
        and so about for Spearman's.
        """
        single = self._single
        if single is None:
            return None
        return max(1, math.ceil(self.bar * (1 - single) / (single * (1 - self.bar)) - 1e-9))

    @property
    def of_all(self) -> float:
        """The agreement of two means of R runs each, by the same formula; NaN without agreement."""
        single = self._single
        return math.nan if single is None else self.runs * single / (1 + (self.runs - 1) * single)

    @property
    def _single(self) -> float | None:
        if self.measured is None:
            return None
        k, rho = self.measured
        return rho / (k - (k - 1) * rho) if rho > 0 else None

    def sentence(self) -> str:
        """How many runs are enough here, in words."""
        if self.measured is None:
            return (
                f"{self.column}: one run cannot tell how many are enough; score with at least "
                "runs=4."
            )
        k, rho = self.measured
        agreement = f"two independent means of {_runs(k)} agree with Spearman {rho:.3f}"
        if math.isnan(rho):
            return (
                f"{self.column}: the runs cannot be compared, because one of them gives every "
                "example the same score."
            )
        if self.enough is not None:
            k, rho = self.enough, self.independent[self.sizes.index(self.enough)]
            verb = "run is" if k == 1 else "runs are"
            more = f"; {self.runs} runs bring about {self.of_all:.3f}" if self.runs > k else ""
            return (
                f"{self.column}: {k} {verb} enough: two independent means of {_runs(k)} agree with "
                f"Spearman {rho:.3f} (the bar is {self.bar:g}){more}."
            )
        if self.predicted is None:
            return (
                f"{self.column}: {agreement}: the runs share no order, and no number of them can "
                "be named."
            )
        if self.predicted <= self.runs:
            return (
                f"{self.column}: about {self.predicted} of the {self.runs} runs are enough: "
                f"{agreement}, which predicts {self.bar:g}, the bar, at {_runs(self.predicted)} "
                "(Spearman-Brown)."
            )
        return (
            f"{self.column}: {_runs(self.runs)} are too few: {agreement}; the Spearman-Brown "
            f"formula gives {self.of_all:.3f} for all {self.runs}, and about {self.predicted:,} "
            f"runs for the bar of {self.bar:g}."
        )


def stability(
    column: str, per_run: Float[np.ndarray, "R n"], *, bar: float = 0.95, seed: int = 0
) -> Stability:
    """Correlate means over k runs with the mean of all runs, and with means over k others.

    Parameters
    ----------
    column : str
        The name of the score, for the sentence.
    per_run : (R, n) float
        The hardness of n examples in each of R runs, without NaN.
    bar : float
        The rank correlation that two independent means must reach, in (0, 1).
    seed : int
        Draws the groups of runs.

    Raises
    ------
    OptionError
        `bar` is out of range.
    """
    if not 0 < bar < 1:
        raise OptionError(
            f"enough={bar:g} is out of range; it is a rank correlation, above 0 and below 1"
        )
    runs = len(per_run)
    whole = unit_ranks(per_run.mean(axis=0, dtype=np.float64))
    rng = np.random.default_rng(seed)
    sizes = group_sizes(runs)
    with_all, independent = [], []
    for size in sizes:
        groups = _groups(runs, size, rng)
        ranks = np.stack(
            [unit_ranks(per_run[group].mean(axis=0, dtype=np.float64)) for group in groups]
        )
        member = np.zeros((len(groups), runs))
        np.put_along_axis(member, np.array(groups), 1, axis=1)
        disjoint = member @ member.T == 0
        with_all.append(float((ranks @ whole).mean()))
        independent.append(
            float((ranks @ ranks.T)[disjoint].mean()) if disjoint.any() else math.nan
        )
    return Stability(column, runs, sizes, tuple(with_all), tuple(independent), bar)


def group_sizes(runs: int) -> tuple[int, ...]:
    """The k that are measured: all up to ten runs, then about ten, always 1, R // 2 and R."""
    if runs <= SHOWN:
        return tuple(range(1, runs + 1))
    spread = {round(float(size)) for size in np.geomspace(1, runs, SHOWN)}
    return tuple(sorted(spread | {runs // 2}))


def _groups(runs: int, size: int, rng: np.random.Generator) -> list[list[int]]:
    """All groups of `size` runs where these are few; otherwise those of random splits."""
    if math.comb(runs, size) <= FEW_GROUPS:
        return [list(group) for group in combinations(range(runs), size)]
    split = (rng.permutation(runs)[: runs // size * size].reshape(-1, size) for _ in range(SPLITS))
    return [
        list(group)
        for group in sorted({tuple(sorted(row.tolist())) for groups in split for row in groups})
    ]


def _runs(count: int) -> str:
    return f"{count:,} run" + "s" * (count != 1)
