"""What is compared with what: score columns and published files, brought over the same examples.

A source is a score table, one column of it (`scores.h5:el2n@20`), or a published file. At least one
is a table, since a table alone knows its examples.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from prune_kit.comparison.published import SUFFIXES, read_published
from prune_kit.data.identity import TRAIN, Rows, aligned_rows, check_same
from prune_kit.errors import FileError, IdentityError, OptionError
from prune_kit.results.table import MADE_BY, ScoreColumn, ScoreTable
from prune_kit.storage import files

Source = ScoreTable | str | Path
VOTES = (
    "cscore keeps votes and no runs; its standard error, in prune-kit info, says how stable it is"
)
REMEDY = "--align matches the rows by content, and joins relabelled data too"


@dataclass(frozen=True, eq=False, repr=False)
class Ranking:
    """One score of the N rows, as hardness (N,) float64: higher is harder, NaN where there is none.

    `per_run` (R, N) is the same of each run, where the column keeps that. `by_votes` of a mean over
    held-out votes.
    """

    name: str
    hardness: np.ndarray
    companion: bool = False
    per_run: np.ndarray | None = None
    by_votes: bool = False


@dataclass(frozen=True, eq=False, repr=False)
class Side:
    """The rankings of one source, where they come from, and the one that was asked for by name, if any."""

    origin: str
    rankings: tuple[Ranking, ...]
    chosen: str | None = None


@dataclass(frozen=True, eq=False, repr=False)
class Joined:
    """One side, or two, over the same `rows`; `counted` (N,) marks the training rows that all of them know.

    `notes` say in words which rows are left out, and what was assumed.
    """

    sides: tuple[Side, ...]
    rows: Rows
    counted: np.ndarray
    notes: tuple[str, ...]

    def pairs(self) -> list[tuple[Ranking, Ranking]]:
        """Each ranking of the one side with each of the other; of a single side each with those after it.

        Where a single side has a chosen ranking, that one with all the others.
        """
        first, last = self.sides[0], self.sides[-1]
        if first is not last:
            return [(one, other) for one in _asked(first) for other in _asked(last)]
        if first.chosen is not None:
            return [
                (one, other)
                for one in _asked(first)
                for other in first.rankings
                if other is not one
            ]
        return [
            (one, other)
            for number, one in enumerate(first.rankings)
            for other in first.rankings[number + 1 :]
        ]

    def with_runs(self) -> dict[str, Ranking]:
        """The rankings asked for that keep their single runs, by a name that is theirs alone."""
        found: dict[str, Ranking] = {}
        for side in self.sides:
            own = {ranking.name: ranking for ranking in _asked(side) if ranking.per_run is not None}
            if (
                side is not self.sides[0] and side.origin == self.sides[0].origin
            ):  # two columns of one file
                found |= own
            else:
                found |= {
                    f"{side.origin}: {name}" if name in found else name: own[name] for name in own
                }
        return found


def join(a: Source, b: Source | None, *, harder: str, align: bool) -> Joined:
    """Read what is to be compared, and bring it over the rows of the first table.

    `harder` says what a higher number means in a published file: "higher" or "lower" is harder.
    Raises FileError, TableError, OptionError; IdentityError when the examples differ and `align` is
    not given, or cannot help.
    """
    if harder not in ("higher", "lower"):
        raise OptionError(f"--harder {harder!r} is unknown; expected higher or lower")
    given = {"the first table": a, "the second table": b}
    opened = [_opened(source, called) for called, source in given.items() if source is not None]
    base = next((one for one in opened if one.table is not None), None)
    if base is None or base.table is None:
        names = " and ".join(one.origin for one in opened)
        raise OptionError(
            f"{names}: a published file does not say what its rows are; give a score table too, "
            f"such as prune-kit compare scores.h5 {opened[0].origin}"
        )
    rows = base.table.rows
    shared, counted = np.ones(len(rows), bool), rows.role == TRAIN
    sides, notes = [], []
    for one in opened:
        if one.table is None:
            scores = read_published(Path(one.origin), rows, align=align)
            hardness = scores if harder == "higher" else -scores
            sides.append(Side(one.origin, (Ranking(Path(one.origin).name, hardness),)))
            meaning, other = ("harder", "lower") if harder == "higher" else ("easier", "higher")
            notes.append(
                f"{one.origin}: a higher score is taken as {meaning}; if it is not, say --harder "
                f"{other}"
            )
            continue
        source = np.arange(len(rows))
        if one.table is not base.table:
            source = _source_rows(one.table.rows, rows, one.origin, base.origin, align)
            notes += _aligned_notes(one.table.rows, rows, source, one.origin, base.origin)
        if len(one.table.probes):
            notes.append(
                f"{one.origin}: {len(one.table.probes):,} rows were scored under planted labels "
                "(--probes), and count with those scores"
            )
        shared &= source >= 0
        counted &= one.table.rows.role[source] == TRAIN
        rankings = tuple(_ranking(column, source) for column in one.table.columns.values())
        sides.append(Side(one.origin, rankings, one.column))
    counted &= shared
    asked = dict.fromkeys(ranking for side in sides for ranking in _asked(side))
    if any(
        ranking.by_votes and ranking.name == side.chosen
        for side in sides
        for ranking in side.rankings
    ):
        notes.append(VOTES)
    return Joined(tuple(sides), rows, counted, (*notes, *_left_out(rows, shared, counted, asked)))


@dataclass(frozen=True, eq=False)
class _Opened:
    """A source as it was given; `table` is None for a published file, `column` None for all columns."""

    origin: str
    table: ScoreTable | None = None
    column: str | None = None


def _opened(source: Source, called: str) -> _Opened:
    if isinstance(source, ScoreTable):
        return _Opened(called, source)
    path, column = _path_and_column(str(source))
    if not path.is_file():
        remedy = (
            "Is the name right?"
            if path.suffix in SUFFIXES
            else f"Make a score table with: {MADE_BY}"
        )
        raise FileError(files.absent(path, remedy))
    if path.suffix in SUFFIXES:
        if column is not None:
            raise OptionError(f"{path} has no columns to choose from; write it without :{column}")
        return _Opened(str(path))
    table = ScoreTable.read(path)
    return _Opened(str(path), table, None if column is None else table.column(column).name)


def _path_and_column(text: str) -> tuple[Path, str | None]:
    """Split `scores.h5:el2n@20`. A file that has the whole text for its name wins: paths may hold colons too."""
    head, colon, column = text.rpartition(":")
    if colon and not Path(text).is_file() and Path(head).is_file():
        return Path(head), column
    return Path(text), None


def _asked(side: Side) -> list[Ranking]:
    return [ranking for ranking in side.rankings if side.chosen in (None, ranking.name)]


def _source_rows(
    given: Rows, expected: Rows, given_name: str, expected_name: str, align: bool
) -> np.ndarray:
    """For each row of `expected` the row of `given`, or -1. Raises IdentityError."""
    try:
        check_same(given, expected, given_name, expected_name, REMEDY)
    except IdentityError:
        if not align:
            raise
        return aligned_rows(given, expected, given_name, expected_name)
    return np.arange(len(expected))


def _aligned_notes(
    given: Rows, expected: Rows, source: np.ndarray, given_name: str, expected_name: str
) -> list[str]:
    known = source >= 0
    if np.array_equal(source, np.arange(len(given))) and np.array_equal(
        given.label, expected.label
    ):
        return []
    relabelled = int((given.label[source] != expected.label)[known].sum())
    labels = f", {relabelled:,} of them under another label" if relabelled else ""
    return [
        f"{given_name} is matched by content to {expected_name}: {known.sum():,} of its "
        f"{len(given):,} rows{labels}"
    ]


def _ranking(column: ScoreColumn, source: np.ndarray) -> Ranking:
    def hardness(values: np.ndarray) -> np.ndarray:
        moved = np.where(source >= 0, values[..., source], np.nan)
        return moved if column.harder == "higher" else -moved

    per_run = column.extras.get("per_run")
    return Ranking(
        column.name,
        hardness(column.values.astype(np.float64)),
        column.companion,
        None if per_run is None else hardness(per_run),
        "votes" in column.extras,
    )


def _left_out(
    rows: Rows, shared: np.ndarray, counted: np.ndarray, rankings: Iterable[Ranking]
) -> list[str]:
    """Which rows do not count, and why."""
    reasons = {"in one file only": ~shared, "held out as test": shared & ~counted}
    parts = [f"{int(mask.sum()):,} are {reason}" for reason, mask in reasons.items() if mask.any()]
    notes = [f"{counted.sum():,} of {len(rows):,} rows count: {', '.join(parts)}"] if parts else []
    for ranking in rankings:
        unscored, infinite = (
            int((counted & test(ranking.hardness)).sum()) for test in (np.isnan, np.isinf)
        )
        why = "never held out (NaN)" if ranking.by_votes else "without a score (NaN)"
        parts = [f"{unscored:,} {why}"] * bool(unscored) + [f"{infinite:,} infinite"] * bool(
            infinite
        )
        if parts:
            notes.append(
                f"{ranking.name}: of {counted.sum():,} training rows {' and '.join(parts)} are "
                "left out"
            )
    return notes
