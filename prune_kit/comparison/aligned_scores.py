"""Scores of one source, or of two, over the same rows: which pairs of rankings are compared."""

from dataclasses import dataclass

import numpy as np

from prune_kit.data.identity import Rows
from prune_kit.results.table import ScoreTable


@dataclass(frozen=True, eq=False)
class OpenedSource:
    """A source as it was given.

    Attributes
    ----------
    origin : str
        The path, or the words for a table that was given as a value.
    table : ScoreTable or None
        None for external scores.
    column : str or None
        The column that was asked for by name. None for all columns.
    """

    origin: str
    table: ScoreTable | None = None
    column: str | None = None


@dataclass(frozen=True, eq=False, repr=False)
class Ranking:
    """One score of the N rows.

    Attributes
    ----------
    name : str
        The column, or the name of the file.
    hardness : (N,) float64
        A higher value is harder. NaN where there is no score.
    companion : bool
        Whether the column was scored along with another one.
    per_run : (R, N) float or None
        The hardness of each run, where the column keeps it.
    by_votes : bool
        Whether the score is a mean over held-out votes.
    """

    name: str
    hardness: np.ndarray
    companion: bool = False
    per_run: np.ndarray | None = None
    by_votes: bool = False


@dataclass(frozen=True, eq=False, repr=False)
class Source:
    """The rankings of one source, aligned to the N rows of the first table.

    Attributes
    ----------
    origin : str
        As in `OpenedSource`.
    rankings : tuple of Ranking
        All scores of the source.
    place : (N,) int
        For each row, the row of the source. -1 where the source lacks the example.
    chosen : str or None
        The name of the ranking that was asked for. None for all of them.
    note : str
        What was assumed about its rows, or "".
    """

    origin: str
    rankings: tuple[Ranking, ...]
    place: np.ndarray
    chosen: str | None = None
    note: str = ""

    @property
    def asked(self) -> list[Ranking]:
        """The chosen ranking, or all of them."""
        return [ranking for ranking in self.rankings if self.chosen in (None, ranking.name)]


@dataclass(frozen=True, eq=False, repr=False)
class AlignedScores:
    """One source, or two, over the same rows.

    Attributes
    ----------
    sources : tuple of Source
        In the order in which they were given.
    rows : Rows
        The N rows of the first table.
    counted : (N,) bool
        The training rows that all sources know.
    notes : tuple of str
        Which rows are left out, and what was assumed.
    """

    sources: tuple[Source, ...]
    rows: Rows
    counted: np.ndarray
    notes: tuple[str, ...] = ()

    def pairs(self) -> list[tuple[Ranking, Ranking]]:
        """The pairs of rankings to compare.

        With two sources, each ranking of the first with each of the second. With one source, the
        chosen ranking with all others; without a chosen one, all pairs.
        """
        first, last = self.sources[0], self.sources[-1]
        if first is not last:
            return [(one, other) for one in first.asked for other in last.asked]
        if first.chosen is not None:
            return [
                (one, other) for one in first.asked for other in first.rankings if other is not one
            ]
        return [
            (one, other)
            for number, one in enumerate(first.rankings)
            for other in first.rankings[number + 1 :]
        ]

    def with_runs(self) -> dict[str, Ranking]:
        """The rankings asked for that keep their single runs, each under a name of its own."""
        named: dict[str, Ranking] = {}
        for source in self.sources:
            rankings = [ranking for ranking in source.asked if ranking.per_run is not None]
            same_file = source is not self.sources[0] and source.origin == self.sources[0].origin
            taken = set() if same_file else set(named)
            for ranking in rankings:
                name = ranking.name
                named[f"{source.origin}: {name}" if name in taken else name] = ranking
        return named
