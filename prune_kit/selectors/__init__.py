"""One file per rule: `select(table, *, by, ...) -> reasons`, one small number per row (see `selection.REASONS`).

A module's `OPTIONS` are the keywords that its `select` takes besides `by`; `USES_SCORES` says if it
reads a column. Rules work on the training rows alone; rows held out as test keep the reason
"held-out".
"""

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int, UInt8

from prune_kit.errors import OptionError, TableError
from prune_kit.results.ranking import ascending, parts, taken
from prune_kit.results.selection import DROPPED_EASY, DROPPED_HARD, HELD_OUT_REASON, KEPT
from prune_kit.results.table import ScoreTable

WINDOW = np.array([DROPPED_EASY, KEPT, DROPPED_HARD], dtype=np.uint8)  # before, in and behind it
SLACK = 1e-9  # keep + offset, added as binary fractions, may pass 1 by a rounding error


def known_hardness(table: ScoreTable, by: str | None) -> Float[np.ndarray, "N"]:
    """The hardness of every row, which every training row has.

    Raises TableError when one has no score, or when wrong labels were planted while scoring.
    """
    if table.probe_label is not None:
        raise TableError(
            f"the table was scored with {len(table.probes):,} probes, labels planted wrong for "
            "cleaning, so its scores are not those of its labels. To prune, score again without "
            "`probes` in another `workdir`"
        )
    rows, hardness = table.rows.training, table.hardness(by)
    unknown = np.flatnonzero(np.isnan(taken(hardness, rows)))
    if len(unknown):
        raise TableError(
            f"{table.column(by).name} has no score (NaN) for {len(unknown):,} of {len(rows):,} "
            f"training rows, the first is row {rows[unknown[0]]}; {_remedy(table, by)}"
        )
    return hardness


def ranking(table: ScoreTable, by: str | None) -> Int[np.ndarray, "n"]:
    """The training rows from easiest to hardest, sorted by (hardness, digest, row). Raises as `known_hardness`."""
    rows, hardness = table.rows.training, known_hardness(table, by)
    order: np.ndarray = rows[ascending(hardness[rows], table.rows.digest[rows])]
    return order


def finite_ranking(table: ScoreTable, by: str | None) -> Int[np.ndarray, "n"]:
    """The ranking, for rules that measure how far scores lie apart. Raises TableError for an infinite score too."""
    order = ranking(table, by)
    infinite = np.sort(order[np.isinf(table.column(by).values[order])])
    if len(infinite):
        raise TableError(
            f"{table.column(by).name} is infinite for {len(infinite):,} of {len(order):,} training "
            f"rows, the first is row {infinite[0]}; this rule measures distances between scores. "
            "Choose another column"
        )
    return order


def _remedy(table: ScoreTable, by: str | None) -> str:
    """What helps where rows lack a score: folds of holdout validation may be added."""
    if "folds" not in table.column(by).parameters:
        return "choose another column"
    return "add folds (prune-kit info says how many), or choose another column"


def count_kept(keep: float, count: int, of: str = "") -> int:
    """K = round(keep * count). Raises OptionError when `keep` is outside (0, 1] or nothing would be kept."""
    if not 0 < keep <= 1:
        raise OptionError(
            f"keep={keep:g} is out of range; it is the share to keep, above 0 and at most 1"
        )
    kept = round(keep * count)
    if kept == 0:
        raise OptionError(
            f"keep={keep:g} of {count:,} examples{of} is less than one example; the least is "
            f"keep={1 / count:.2g}"
        )
    return kept


def check_room(keep: float, dropped: float, option: str) -> None:
    """Raise OptionError unless the share that the option drops is one, and leaves room for the share to keep."""
    if not 0 <= dropped <= 1:
        raise OptionError(f"{option}={dropped:g} is out of range; it is a share, 0 to 1")
    if keep + dropped > 1 + SLACK:
        largest = (
            math.floor((1 - keep + SLACK) * 1e6) / 1e6
        )  # rounded down: what is printed must be accepted
        raise OptionError(
            f"keep={keep:g} and {option}={dropped:g} make more than 1; the largest is "
            f"{option}={largest:g}"
        )


def window_bounds(
    order: Int[np.ndarray, "n"], keep: float, offset: float, offset_from: str, of: str = ""
) -> tuple[int, int]:
    """The positions (start, stop) of the window in an `order` of rows, easiest first.

    K = round(keep * n), O = min(round(offset * n), n - K). From "hard": skip the O hardest, keep
    the next K hardest. From "easy": drop the O easiest, keep the next K (Data Diet, appendix B.3).

    Raises OptionError when keep + offset > 1.
    """
    if offset_from not in ("hard", "easy"):
        raise OptionError(f"offset_from={offset_from!r} is unknown; expected hard or easy")
    kept = count_kept(keep, len(order), of)
    check_room(keep, offset, "offset")
    skipped = min(round(offset * len(order)), len(order) - kept)
    start = skipped if offset_from == "easy" else len(order) - skipped - kept
    return start, start + kept


def reasons_of_window(
    table: ScoreTable, by: str | None, keep: float, offset: float, offset_from: str, per_class: bool
) -> UInt8[np.ndarray, "N"]:
    """The reasons (N,) of a window over the ranking, or over each class's part of it."""
    hardness, digest = known_hardness(table, by), table.rows.digest

    def fill(reasons: np.ndarray, part: np.ndarray, of: str) -> None:
        start, stop = window_bounds(part, keep, offset, offset_from, of)
        reasons[part] = WINDOW[parts(taken(hardness, part), taken(digest, part), start, stop)]

    return fill_reasons(table, table.rows.training, per_class, fill)


def fill_reasons(
    table: ScoreTable,
    rows: Int[np.ndarray, "n"],
    per_class: bool,
    fill: Callable[[np.ndarray, np.ndarray, str], None],
) -> UInt8[np.ndarray, "N"]:
    """Let `fill(reasons, part, of)` decide about all `rows`, or about those of each class in turn."""
    reasons = np.full(len(table.rows), HELD_OUT_REASON, dtype=np.uint8)
    if not per_class:
        fill(reasons, rows, "")
        return reasons
    for name, part in zip(table.rows.class_names, table.rows.per_class(rows), strict=True):
        if len(part):
            fill(reasons, part, f" of class {name!r}")
    return reasons
