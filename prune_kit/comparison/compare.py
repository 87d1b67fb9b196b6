"""The result of `compare`: how far rankings agree, pair by pair, and how many runs each of them needs."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from prune_kit.comparison.agreement import Agreement, Sorted, agreements, end_count
from prune_kit.comparison.sources import VOTES, Joined, Ranking
from prune_kit.comparison.stability import Stability, stability
from prune_kit.errors import OptionError, TableError

NOTICED = 0.1  # from this share of an end on, it is said that ties decide it
FEWEST_RESAMPLES = 20  # a 95 % interval leaves out the outermost of 20 on either side


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """An agreement for each of the `pairs` of rankings, and a stability for each column that keeps its runs.

    `origins` are the files, one or two. `rows` (N,) is True where a row counts. `top` is the share
    that counts as an end, `bootstrap` the number of resamples behind the intervals. `notes` say
    which rows are left out and why, what was assumed, and which ends are decided by ties.
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
        return [found.sentence() for found in self.stabilities]

    def values(self) -> dict[str, Any]:
        """Everything as plain values, for JSON; NaN where there is no number."""
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
                    "rows": found.rows,
                    **{
                        name: vars(getattr(found, name))
                        for name in ("spearman", "kendall", "hardest", "easiest")
                    },
                }
                for (one, other), found in zip(self.pairs, self.agreements, strict=True)
            ],
            "stability": [
                vars(found)
                | {
                    "enough": found.enough,
                    "predicted": found.predicted,
                    "sentence": found.sentence(),
                }
                for found in self.stabilities
            ],
            "notes": list(self.notes),
        }


def compared(joined: Joined, *, top: float, bootstrap: int, seed: int, enough: float) -> Comparison:
    """Compute every agreement and stability of what was joined.

    Raises OptionError for a value out of range, TableError when there is nothing to compare.
    """
    if bootstrap and bootstrap < FEWEST_RESAMPLES:
        raise OptionError(
            f"--bootstrap {bootstrap} is out of range; 0 for no intervals, or at least "
            f"{FEWEST_RESAMPLES} resamples"
        )
    pairs, with_runs = joined.pairs(), joined.with_runs()
    if not pairs and not with_runs:
        origins = " and ".join(dict.fromkeys(side.origin for side in joined.sides))
        voted = any(ranking.by_votes for side in joined.sides for ranking in side.rankings)
        raise TableError(
            f"there is nothing to compare in {origins}: it takes two columns, or one that keeps "
            f"its single runs. Give another file too{f'. {VOTES}' if voted else ''}"
        )
    found: dict[int, Agreement] = {}
    notes, ends = dict[str, None](), dict[str, str]()
    several = len({side.origin for side in joined.sides}) > 1
    called = {
        r: f"{side.origin}: {r.name}" if several else r.name
        for side in joined.sides
        for r in side.rankings
    }
    for rows, numbers in _by_rows(joined, pairs):
        rankings = list(dict.fromkeys(ranking for number in numbers for ranking in pairs[number]))
        hardness = np.stack([ranking.hardness[rows] for ranking in rankings])
        digest = joined.rows.digest[rows]
        places = [
            (rankings.index(pairs[number][0]), rankings.index(pairs[number][1]))
            for number in numbers
        ]
        made = agreements(hardness, digest, places, top=top, bootstrap=bootstrap, seed=seed)
        found |= zip(numbers, made, strict=True)
        for ranking, values in zip(rankings, hardness, strict=True):
            column = Sorted.of(values, digest)
            if column.groups == 1:
                notes[f"{called[ranking]} is the same for all rows: it ranks nothing"] = None
            elif tied := _tied_ends(column, top):
                ends[called[ranking]] = tied
    stabilities = [
        stability(name, runs, bar=enough, seed=seed)
        for name, ranking in with_runs.items()
        if (runs := _complete_runs(ranking, joined.counted)).shape[1] > 1
    ]
    return Comparison(
        origins=tuple(side.origin for side in joined.sides),
        pairs=tuple(pairs),
        agreements=tuple(found[number] for number in range(len(pairs))),
        stabilities=tuple(stabilities),
        rows=joined.counted,
        top=top,
        bootstrap=bootstrap,
        seed=seed,
        notes=(*joined.notes, *notes, *_tie_note(ends, top)),
    )


def _by_rows(
    joined: Joined, pairs: list[tuple[Ranking, Ranking]]
) -> list[tuple[np.ndarray, list[int]]]:
    """The pairs' numbers, grouped by the rows that both rankings score: mostly all pairs share one group."""
    groups: dict[bytes, tuple[np.ndarray, list[int]]] = {}
    for number, (one, other) in enumerate(pairs):
        mask = joined.counted & np.isfinite(one.hardness) & np.isfinite(other.hardness)
        if mask.sum() < 2:
            raise TableError(
                f"{one.name} and {other.name} have {mask.sum()} rows with a score in both; 2 are "
                "needed"
            )
        groups.setdefault(mask.tobytes(), (np.flatnonzero(mask), []))[1].append(number)
    return list(groups.values())


def _complete_runs(ranking: Ranking, counted: np.ndarray) -> np.ndarray:
    """The hardness (R, n) of each run at the rows that count and that all runs score; a run without any is left out."""
    assert ranking.per_run is not None
    runs: np.ndarray = ranking.per_run[:, counted]
    runs = runs[np.isfinite(runs).any(axis=1)]
    complete = np.isfinite(runs).all(axis=0) & bool(len(runs))
    return np.compress(complete, runs, axis=1)


def _tied_ends(column: Sorted, top: float) -> str:
    """Which ends of a score are in good part chosen among equals; "" where none is."""
    drawn = zip(
        ("hardest", "easiest"), column.drawn_by_ties(end_count(top, len(column.group))), strict=True
    )
    return ", ".join(
        f"{100 * share:.0f} % of the {end}" for end, share in drawn if share >= NOTICED
    )


def _tie_note(ends: dict[str, str], top: float) -> list[str]:
    """Warn where what two ends have in common is the order of ties: `ends` says so of columns, by name."""
    if not ends:
        return []
    told = "; ".join(f"{name} ({text})" for name, text in ends.items())
    return [
        f"of the {100 * top:g} % at an end many are chosen among equal scores, by their digests "
        f"and so alike in every column: what ends have in common says little of {told}"
    ]
