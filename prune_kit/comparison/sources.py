"""What is compared with what: scores of several sources, aligned to the same examples.

A source is a score table, one column of it (`scores.h5:el2n@20`), or a file with external scores.
At least one source must be a table, because only a table knows its examples.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from prune_kit.comparison.aligned_scores import AlignedScores, OpenedSource, Ranking, Source
from prune_kit.comparison.external_scores import SUFFIXES, read_external_scores
from prune_kit.data.identity import TRAIN, Rows, aligned_rows, check_same
from prune_kit.errors import FileError, IdentityError, OptionError
from prune_kit.results.column import ScoreColumn
from prune_kit.results.table import MADE_BY, ScoreTable
from prune_kit.storage import files

VOTES = (
    "cscore keeps votes and no runs; its standard error, in prune-kit info, says how stable it is"
)
REMEDY = "align=True matches the rows by content, and aligns relabelled data too"


def align_sources(
    a: ScoreTable | str | Path,
    b: ScoreTable | str | Path | None,
    *,
    harder: str,
    by_content: bool,
    key: str | None = None,
) -> AlignedScores:
    """Read what is to be compared, and align it to the rows of the first table.

    Parameters
    ----------
    a, b : ScoreTable, str or Path
        A table, the path of one, "PATH:COLUMN", or the path of external scores. `b` may be None.
    harder : str
        "higher" or "lower": which external scores mean harder examples.
    by_content : bool
        Match the rows by content where the sources have other rows.
    key : str or None
        The column of a CSV of scores that names its rows. None for one of the usual names.

    Raises
    ------
    FileError
        A file is absent or unreadable.
    TableError
        A column does not exist.
    OptionError
        `harder` is unknown, or no source is a table.
    IdentityError
        The examples differ, and `by_content` is False or does not help.
    """
    if harder not in ("higher", "lower"):
        raise OptionError(f"harder={harder!r} is unknown; expected higher or lower")
    opened = open_sources(a, b)
    aligned = align(opened, harder=harder, by_content=by_content, key=key)
    return replace(aligned, notes=collect_notes(opened, aligned, harder))


def open_sources(
    a: ScoreTable | str | Path, b: ScoreTable | str | Path | None
) -> list[OpenedSource]:
    """Read the tables of the sources; external scores are read when their rows are known.

    Parameters
    ----------
    a, b : ScoreTable, str or Path
        As in `align_sources`.

    Raises
    ------
    FileError, TableError, OptionError
        As in `align_sources`.
    """
    given = {"the first table": a, "the second table": b}
    return [_opened(source, words) for words, source in given.items() if source is not None]


def align(
    opened: list[OpenedSource], *, harder: str, by_content: bool, key: str | None = None
) -> AlignedScores:
    """Bring the scores of all sources over the rows of the first table.

    Parameters
    ----------
    opened : list of OpenedSource
        One source or two, as `open_sources` gives them.
    harder, by_content, key
        As in `align_sources`.

    Raises
    ------
    FileError, IdentityError, OptionError
        As in `align_sources`.
    """
    base = _base(opened)
    rows = base.rows
    counted = rows.role == TRAIN
    if key is not None and all(one.table is not None for one in opened):
        raise OptionError(f"key={key!r} is for published scores in a CSV; none are compared")
    sources = []
    for one in opened:
        if one.table is None:
            path = Path(one.origin)
            scores, note = read_external_scores(path, rows, by_content=by_content, key=key)
            rankings = [Ranking(path.name, scores if harder == "higher" else -scores)]
            place = np.arange(len(rows))
        else:
            note = ""
            place = _rows_of(one, base, by_content)
            rankings = [_ranking(column, place) for column in one.table.columns.values()]
            counted = counted & (place >= 0) & (one.table.rows.role[place] == TRAIN)
        sources.append(Source(one.origin, tuple(rankings), place, one.column, note))
    return AlignedScores(tuple(sources), rows, counted)


def collect_notes(
    opened: list[OpenedSource], aligned: AlignedScores, harder: str
) -> tuple[str, ...]:
    """Say in words what was assumed, and which rows are left out.

    Parameters
    ----------
    opened : list of OpenedSource
        The sources as they were given.
    aligned : AlignedScores
        What `align` made of them.
    harder : str
        As in `align_sources`.
    """
    base = _base(opened)
    notes: list[str] = []
    for given, source in zip(opened, aligned.sources, strict=True):
        if given.table is None:
            notes += filter(None, [_direction_note(given.origin, harder), source.note])
            continue
        notes += _aligned_notes(given, source, base)
        if len(given.table.probes):
            notes.append(
                f"{given.origin}: {len(given.table.probes):,} rows were scored under planted "
                "labels (`probes`), and count with those scores"
            )
    if any(
        ranking.by_votes and ranking.name == source.chosen
        for source in aligned.sources
        for ranking in source.rankings
    ):
        notes.append(VOTES)
    return (*notes, *_left_out(aligned))


@dataclass(frozen=True, eq=False)
class _Base:
    """The first table, whose rows are those of the comparison."""

    origin: str
    table: ScoreTable
    rows: Rows


def _base(opened: list[OpenedSource]) -> _Base:
    for one in opened:
        if one.table is not None:
            return _Base(one.origin, one.table, one.table.rows)
    names = " and ".join(one.origin for one in opened)
    raise OptionError(
        f"{names}: a published file does not say what its rows are; give a score table too, "
        f"such as prune-kit compare scores.h5 {opened[0].origin}"
    )


def _opened(source: ScoreTable | str | Path, words: str) -> OpenedSource:
    if isinstance(source, ScoreTable):
        return OpenedSource(words, source)
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
        return OpenedSource(str(path))
    table = ScoreTable.read(path)
    return OpenedSource(str(path), table, None if column is None else table.column(column).name)


def _path_and_column(text: str) -> tuple[Path, str | None]:
    """Split `scores.h5:el2n@20`. A path may hold colons: a file of the whole name wins."""
    head, colon, column = text.rpartition(":")
    if colon and not Path(text).is_file() and Path(head).is_file():
        return Path(head), column
    return Path(text), None


def _rows_of(given: OpenedSource, base: _Base, by_content: bool) -> np.ndarray:
    """For each row of the base, the row of the given table, or -1. Raises IdentityError."""
    assert given.table is not None
    same = np.arange(len(base.rows))
    if given.table is base.table:
        return same
    try:
        check_same(given.table.rows, base.rows, given.origin, base.origin, REMEDY)
    except IdentityError:
        if not by_content:
            raise
        return aligned_rows(given.table.rows, base.rows, given.origin, base.origin)
    return same


def _ranking(column: ScoreColumn, place: np.ndarray) -> Ranking:
    def hardness(values: np.ndarray) -> np.ndarray:
        moved = np.where(place >= 0, values[..., place], np.nan)
        return moved if column.harder == "higher" else -moved

    per_run = column.extras.get("per_run")
    return Ranking(
        column.name,
        hardness(column.values.astype(np.float64)),
        column.companion,
        None if per_run is None else hardness(per_run),
        "votes" in column.extras,
    )


def _direction_note(origin: str, harder: str) -> str:
    meaning, other = ("harder", "lower") if harder == "higher" else ("easier", "higher")
    return f"{origin}: a higher score is taken as {meaning}; if this is wrong, add harder={other!r}"


def _aligned_notes(given: OpenedSource, source: Source, base: _Base) -> list[str]:
    assert given.table is not None
    rows, expected = given.table.rows, base.rows
    in_order = np.array_equal(source.place, np.arange(len(rows)))
    if in_order and np.array_equal(rows.label, expected.label):
        return []
    known = source.place >= 0
    relabelled = int((rows.label[source.place] != expected.label)[known].sum())
    labels = f", {relabelled:,} of them under another label" if relabelled else ""
    return [
        f"{given.origin} is matched by content to {base.origin}: {known.sum():,} of its "
        f"{len(rows):,} rows{labels}"
    ]


def _left_out(aligned: AlignedScores) -> list[str]:
    """Which rows do not count, and why."""
    counted, total = aligned.counted, len(aligned.rows)
    shared = np.all([source.place >= 0 for source in aligned.sources], axis=0)
    reasons = {"in one file only": ~shared, "held out as test": shared & ~counted}
    parts = [f"{int(mask.sum()):,} are {reason}" for reason, mask in reasons.items() if mask.any()]
    notes = [f"{counted.sum():,} of {total:,} rows count: {', '.join(parts)}"] if parts else []
    asked = dict.fromkeys(ranking for source in aligned.sources for ranking in source.asked)
    return [*notes, *filter(None, (_unscored_note(ranking, counted) for ranking in asked))]


def _unscored_note(ranking: Ranking, counted: np.ndarray) -> str:
    """Which of the rows that count have no finite score; "" where all have one."""
    unscored = int((counted & np.isnan(ranking.hardness)).sum())
    infinite = int((counted & np.isinf(ranking.hardness)).sum())
    why = "never held out (NaN)" if ranking.by_votes else "without a score (NaN)"
    parts = []
    if unscored:
        parts.append(f"{unscored:,} {why}")
    if infinite:
        parts.append(f"{infinite:,} infinite")
    if not parts:
        return ""
    return f"{ranking.name}: of {counted.sum():,} training rows {' and '.join(parts)} are left out"
