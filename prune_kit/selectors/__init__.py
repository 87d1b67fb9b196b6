"""One file a rule: `select(table, *, by, keep, **options) -> reasons`, one small number per row.

`Rule` says what a module must have. Its options stand in OPTIONS, see `prune_kit.registry`; those
that several rules take are described here, in SHARED_OPTIONS. Rules decide about the training rows
alone. Rows held out as test keep the reason "held-out" (see `selection.REASONS`).
"""

import math
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int, UInt8

from prune_kit import registry
from prune_kit.checks import check_kind
from prune_kit.errors import OptionError, TableError
from prune_kit.results.ranking import ascending, parts, taken
from prune_kit.results.selection import (
    DROPPED_EASY,
    DROPPED_HARD,
    HELD_OUT_REASON,
    KEPT,
    Selection,
)
from prune_kit.results.table import ScoreTable

DEFAULT_RULE = "window"
SHARED_OPTIONS = {
    "offset": {
        "type": "float",
        "default": 0.0,
        "metavar": "F",
        "help": "The share to skip at one end of the ranking.",
    },
    "per_class": {
        "type": "bool",
        "default": False,
        "help": "Apply the rule within each class.",
    },
    "seed": {
        "type": "int",
        "default": 0,
        "minimum": 0,
        "metavar": "S",
        "help": "The seed of what is drawn.",
    },
}
WINDOW = np.array([DROPPED_EASY, KEPT, DROPPED_HARD], dtype=np.uint8)  # before, in and behind it
SLACK = 1e-9  # keep + offset, added as binary fractions, may pass 1 by a rounding error


@runtime_checkable
class Rule(Protocol):
    """What a module of this folder must have."""

    USES_SCORES: bool  # whether the rule reads a column; the random rule does not

    def select(
        self, table: ScoreTable, *, by: str | None, keep: float, **options: Any
    ) -> UInt8[np.ndarray, "N"]:
        """The reason of every row of the table.

        Parameters
        ----------
        table
            The score table.
        by
            The column that ranks the rows. None stands for the only one of the table.
        keep
            The share of the training rows to keep, above 0 and at most 1.
        options
            Every option that the module declares.

        Raises
        ------
        OptionError, TableError
        """


def has_offset(rule: str) -> bool:
    """Whether a rule takes the option `offset`. A rule that does not exist takes none."""
    return "offset" in registry.entry_options(__name__, rule)


def choose(
    table: ScoreTable, *, rule: str, by: str | None, keep: float, **options: Any
) -> Selection:
    """The selection that a rule makes; parameters and errors are those of `pipeline.select`."""
    check_kind(table, ScoreTable, "table", "score")
    given = {name: value for name, value in options.items() if value is not None}
    chosen = registry.chosen_options(registry.SELECTORS, "rule", [rule], given)[rule]
    module: Rule = registry.load(registry.SELECTORS, rule, "rule")
    column = table.column(by) if module.USES_SCORES or by is not None else None
    return Selection(
        rows=table.rows,
        reason=module.select(table, by=by, keep=keep, **chosen),
        rule=rule,
        parameters={"keep": keep, **chosen},
        column=column.name if column else "",
        score=column.values if column else None,
        scored_with=column.parameters if column else table.trained_with,
    )


def known_hardness(table: ScoreTable, by: str | None) -> Float[np.ndarray, "N"]:
    """The hardness of every row. Every training row has one.

    Raises
    ------
    TableError
        If a training row has no score, or if wrong labels were planted while scoring.
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
    """The training rows from easiest to hardest, sorted by (hardness, digest, row).

    Raises
    ------
    TableError
        As `known_hardness`.
    """
    rows, hardness = table.rows.training, known_hardness(table, by)
    order: np.ndarray = rows[ascending(hardness[rows], table.rows.digest[rows])]
    return order


def finite_ranking(table: ScoreTable, by: str | None) -> Int[np.ndarray, "n"]:
    """The ranking, for rules that measure how far scores lie apart.

    Raises
    ------
    TableError
        As `known_hardness`, and if the score of a training row is infinite.
    """
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
    """How many of `count` rows a share keeps: K = round(keep * count).

    Parameters
    ----------
    keep
        The share to keep, above 0 and at most 1.
    count
        The number of rows.
    of
        What the rows are, for the message, such as " of class 'cat'".

    Raises
    ------
    OptionError
        If `keep` is out of range, or if nothing would be kept.
    """
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
    """Check that the share which an option drops leaves room for the share to keep.

    Parameters
    ----------
    keep
        The share to keep, above 0 and at most 1.
    dropped
        The share to drop.
    option
        The name of the option that drops, for the message.

    Raises
    ------
    OptionError
        If `dropped` is outside [0, 1], or if keep + dropped is more than 1.
    """
    if not 0 <= dropped <= 1:
        raise OptionError(f"{option}={dropped:g} is out of range; it is a share, 0 to 1")
    if keep + dropped > 1 + SLACK:
        # rounded down: what is printed must be accepted
        largest = math.floor((1 - keep + SLACK) * 1e6) / 1e6
        raise OptionError(
            f"keep={keep:g} and {option}={dropped:g} make more than 1; the largest is "
            f"{option}={largest:g}"
        )


def window_bounds(
    order: Int[np.ndarray, "n"], keep: float, offset: float, offset_from: str, of: str = ""
) -> tuple[int, int]:
    """The positions (start, stop) of the window in an order of rows.

    K = round(keep * n) rows are kept. O = min(round(offset * n), n - K) rows are skipped: the
    hardest where `offset_from` is "hard", else the easiest. The window lies next to them (Paul et
    al. 2021, appendix B.3).

    Parameters
    ----------
    order
        The rows (n,), easiest first.
    keep, offset
        The shares to keep and to skip.
    offset_from
        "hard" or "easy".
    of
        What the rows are, for messages.

    Raises
    ------
    OptionError
        If a share is out of range, or if keep + offset is more than 1.
    """
    kept = count_kept(keep, len(order), of)
    check_room(keep, offset, "offset")
    skipped = min(round(offset * len(order)), len(order) - kept)
    start = skipped if offset_from == "easy" else len(order) - skipped - kept
    return start, start + kept


def reasons_of_window(
    table: ScoreTable, by: str | None, keep: float, offset: float, offset_from: str, per_class: bool
) -> UInt8[np.ndarray, "N"]:
    """The reasons (N,) of a window over the ranking, or over each class's part of it.

    The parameters are those of the rule `window`.
    """
    hardness = known_hardness(table, by)
    digest = table.rows.digest

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
    """Let a function decide about all rows at once, or about those of each class in turn.

    Parameters
    ----------
    table
        The score table.
    rows
        The rows (n,) to decide about.
    per_class
        Whether each class is decided alone.
    fill
        `fill(reasons, part, of)` writes the reasons of the rows `part`. `of` names them in
        messages.

    Returns
    -------
    reasons
        The reasons (N,); all other rows are "held-out".
    """
    reasons = np.full(len(table.rows), HELD_OUT_REASON, dtype=np.uint8)
    if not per_class:
        fill(reasons, rows, "")
        return reasons
    for name, part in zip(table.rows.class_names, table.rows.per_class(rows), strict=True):
        if len(part):
            fill(reasons, part, f" of class {name!r}")
    return reasons
