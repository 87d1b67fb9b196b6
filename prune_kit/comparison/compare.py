"""How far rankings agree, pair by pair, and how many runs each of them requires."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from prune_kit.comparison.agreement import Agreement, SortedScore, agreements, end_count
from prune_kit.comparison.aligned_scores import AlignedScores, Ranking
from prune_kit.comparison.sources import VOTES
from prune_kit.comparison.stability import Stability, stability
from prune_kit.errors import OptionError, TableError

NOTICED = 0.1  # a note names a score where ties decide this share of an end, or more
FEWEST_RESAMPLES = 20  # a 95 % interval leaves out the outermost of 20 on either side


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """The agreement of each pair of rankings, and the stability of each column that keeps its runs.

    Attributes
    ----------
    origins : tuple of str
        The files, one or two.
    pairs : tuple of (Ranking, Ranking)
        The rankings that are compared.
    agreements : tuple of Agreement
        One for each pair.
    stabilities : tuple of Stability
        One for each column with single runs.
    rows : (N,) bool
        The rows that count.
    top : float
        The share of the rows that counts as an end, in (0, 0.5].
    bootstrap : int
        The number of resamples behind the intervals.
    seed : int
        Of the resamples.
    notes : tuple of str
        Which rows are left out and why, what was assumed, and which ends are decided by ties.
    """

    origins: tuple[str, ...]
    pairs: tuple[tuple[Ranking, Ranking], ...]
    agreements: tuple[Agreement, ...]
    stabilities: tuple[Stability, ...]
    rows: np.ndarray
    top: float
    bootstrap: int
    seed: int
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        return (
            f"Comparison({', '.join(f'{one.name} and {other.name}' for one, other in self.pairs)})"
        )

    def sentences(self) -> list[str]:
        """How many runs are enough, for each column that keeps its runs."""
        return [stability.sentence() for stability in self.stabilities]

    def values(self) -> dict[str, Any]:
        """Everything as plain values, for JSON. A number that does not exist is NaN."""
        return {
            "files": list(self.origins),
            "rows": int(self.rows.sum()),
            "top": self.top,
            "bootstrap": self.bootstrap,
            "seed": self.seed,
            "pairs": [
                {
                    "a": one.name,
                    "b": other.name,
                    "rows": agreement.rows,
                    **{
                        name: vars(getattr(agreement, name))
                        for name in ("spearman", "kendall", "hardest", "easiest")
                    },
                }
                for (one, other), agreement in zip(self.pairs, self.agreements, strict=True)
            ],
            "stability": [
                vars(stability)
                | {
                    "enough": stability.enough,
                    "predicted": stability.predicted,
                    "sentence": stability.sentence(),
                }
                for stability in self.stabilities
            ],
            "notes": list(self.notes),
        }


def compared(
    aligned: AlignedScores, *, top: float, bootstrap: int, seed: int, enough: float
) -> Comparison:
    """Compute every agreement and every stability of the aligned scores.

    Parameters
    ----------
    aligned : AlignedScores
        One source or two.
    top : float
        The share of the rows that counts as an end, in (0, 0.5].
    bootstrap : int
        The number of resamples behind the intervals: 0 for none, otherwise at least 20.
    seed : int
        Of the resamples, and of the groups of runs.
    enough : float
        The rank correlation that two independent means must reach, in (0, 1).

    Raises
    ------
    OptionError
        A value is out of range.
    TableError
        There is nothing to compare, or a pair has fewer than two rows in common.
    """
    if bootstrap and bootstrap < FEWEST_RESAMPLES:
        raise OptionError(
            f"bootstrap={bootstrap} is out of range; 0 for no intervals, or at least "
            f"{FEWEST_RESAMPLES} resamples"
        )
    pairs = aligned.pairs()
    with_runs = aligned.with_runs()
    if not pairs and not with_runs:
        raise _nothing_to_compare(aligned)
    names = _names(aligned)
    agreement_of: dict[int, Agreement] = {}
    constant: dict[str, None] = {}
    tied: dict[str, str] = {}
    for rows, numbers in _by_rows(aligned, pairs):
        rankings = list(dict.fromkeys(ranking for number in numbers for ranking in pairs[number]))
        hardness = np.stack([ranking.hardness[rows] for ranking in rankings])
        digest = aligned.rows.digest[rows]
        places = [
            (rankings.index(pairs[number][0]), rankings.index(pairs[number][1]))
            for number in numbers
        ]
        computed = agreements(hardness, digest, places, top=top, bootstrap=bootstrap, seed=seed)
        agreement_of |= zip(numbers, computed, strict=True)
        for ranking, values in zip(rankings, hardness, strict=True):
            score = SortedScore.of(values, digest)
            if score.groups == 1:
                constant[f"{names[ranking]} is the same for all rows: it ranks nothing"] = None
            elif ends := _tied_ends(score, top):
                tied[names[ranking]] = ends
    return Comparison(
        origins=tuple(source.origin for source in aligned.sources),
        pairs=tuple(pairs),
        agreements=tuple(agreement_of[number] for number in range(len(pairs))),
        stabilities=_stabilities(aligned, with_runs, enough, seed),
        rows=aligned.counted,
        top=top,
        bootstrap=bootstrap,
        seed=seed,
        notes=(*aligned.notes, *constant, *_tie_note(tied, top)),
    )


def _nothing_to_compare(aligned: AlignedScores) -> TableError:
    origins = " and ".join(dict.fromkeys(source.origin for source in aligned.sources))
    by_votes = any(ranking.by_votes for source in aligned.sources for ranking in source.rankings)
    return TableError(
        f"there is nothing to compare in {origins}: a comparison requires two columns, or one that "
        f"keeps its single runs. Give another file too{f'. {VOTES}' if by_votes else ''}"
    )


def _names(aligned: AlignedScores) -> dict[Ranking, str]:
    """The name of each ranking in notes, with the file where there are two."""
    several = len({source.origin for source in aligned.sources}) > 1
    return {
        ranking: f"{source.origin}: {ranking.name}" if several else ranking.name
        for source in aligned.sources
        for ranking in source.rankings
    }


def _by_rows(
    aligned: AlignedScores, pairs: list[tuple[Ranking, Ranking]]
) -> list[tuple[np.ndarray, list[int]]]:
    """Group the numbers of the pairs by the rows that both rankings score.

    Mostly all pairs are in one group.
    """
    groups: dict[bytes, tuple[np.ndarray, list[int]]] = {}
    for number, (one, other) in enumerate(pairs):
        mask = aligned.counted & np.isfinite(one.hardness) & np.isfinite(other.hardness)
        if mask.sum() < 2:
            raise TableError(
                f"{one.name} and {other.name} have {mask.sum()} rows with a score in both; at "
                "least 2 are required"
            )
        groups.setdefault(mask.tobytes(), (np.flatnonzero(mask), []))[1].append(number)
    return list(groups.values())


def _stabilities(
    aligned: AlignedScores, with_runs: dict[str, Ranking], enough: float, seed: int
) -> tuple[Stability, ...]:
    stabilities = []
    for name, ranking in with_runs.items():
        runs = _complete_runs(ranking, aligned.counted)
        if runs.shape[1] > 1:
            stabilities.append(stability(name, runs, bar=enough, seed=seed))
    return tuple(stabilities)


def _complete_runs(ranking: Ranking, counted: np.ndarray) -> np.ndarray:
    """The hardness (R, n) of each run at the rows that count and that all runs score.

    A run without any score is left out.
    """
    assert ranking.per_run is not None
    runs: np.ndarray = ranking.per_run[:, counted]
    runs = runs[np.isfinite(runs).any(axis=1)]
    complete = np.isfinite(runs).all(axis=0) & bool(len(runs))
    return np.compress(complete, runs, axis=1)


def _tied_ends(score: SortedScore, top: float) -> str:
    """Which ends of a score are largely chosen among equal values; "" where none is."""
    drawn = zip(
        ("hardest", "easiest"), score.drawn_by_ties(end_count(top, len(score.group))), strict=True
    )
    return ", ".join(
        f"{100 * share:.0f} % of the {end}" for end, share in drawn if share >= NOTICED
    )


def _tie_note(tied: dict[str, str], top: float) -> list[str]:
    """Warn where the share in common of two ends is the order of ties."""
    if not tied:
        return []
    scores = "; ".join(f"{name} ({ends})" for name, ends in tied.items())
    return [
        f"of the {100 * top:g} % at an end many are chosen among equal scores, by a fixed order "
        f"of the images, so alike in every column: the share in common says little of {scores}"
    ]
