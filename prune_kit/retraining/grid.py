"""A grid of selections to be retrained: columns, rules, shares to keep, offsets, and names.

Retraining every cell gives the curves of Data Diet: accuracy against the share that is pruned,
against the epoch of the score, and against the offset. A cell is a cached run like any other, so a
grid may be stopped, resumed and widened.
"""

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from prune_kit import registry
from prune_kit.checks import check_kind
from prune_kit.errors import OptionError
from prune_kit.results.outcomes import FULL, PERCENTILES, RANDOM, Outcomes, random_name
from prune_kit.results.selection import Selection
from prune_kit.results.table import ScoreTable
from prune_kit.selectors import SLACK, choose, count_kept, has_offset


@dataclass(frozen=True)
class Cell:
    """One selection of a grid: its `rule`, the column that ranks, the share to keep, the offset."""

    name: str
    rule: str
    by: str
    keep: float
    offset: float

    @property
    def method(self) -> str:
        """The method of the column: el2n of el2n@20."""
        return self.by.partition("@")[0]

    @property
    def epoch(self) -> int | None:
        """The epoch of the column, None where it has none."""
        found = re.fullmatch(r".+@(\d+)", self.by)
        return int(found[1]) if found else None

    @property
    def has_offset(self) -> bool:
        """Whether the rule takes an offset."""
        return has_offset(self.rule)


def grid(
    table: ScoreTable,
    by: Iterable[str],
    rules: Iterable[str],
    keeps: Iterable[float],
    offsets: Iterable[float],
) -> tuple[list[Cell], int]:
    """The cells, and how many were left out since keep + offset is more than 1.

    Parameters
    ----------
    table
        The scores that rank.
    by
        The names of the columns. "random" is the baseline, which is trained for every share anyhow.
        So it has no cell, unless the table has a column of this name.
    rules
        The names of the rules. One that declares no offset has one cell for each column and share.
    keeps
        The shares of the training rows to keep, each above 0 and at most 1.
    offsets
        The shares to skip.

    Raises
    ------
    OptionError
        If nothing is left, if a rule is not there, or if a share to keep is out of range.
    TableError
        If a column is not there.
    """
    check_kind(table, ScoreTable, "table", "score")
    keeps, offsets, rules = (
        list(dict.fromkeys(keeps)),
        list(dict.fromkeys(offsets)),
        list(dict.fromkeys(rules)),
    )
    asked = list(dict.fromkeys(by))
    given = {"by": asked, "keep": keeps, "offset": offsets, "rule": rules}
    empty = [name for name, values in given.items() if not values]
    if empty:
        raise OptionError(f"`{empty[0]}` is empty; give at least one")
    for rule in rules:
        registry.load(registry.SELECTORS, rule, "rule")
    for keep in keeps:
        count_kept(keep, len(table.rows.training))
    names = [name for name in asked if name != RANDOM or RANDOM in table.columns]
    columns = [table.column(name).name for name in names]
    cells, left_out = {}, 0
    for rule in rules:
        for column in columns:
            for keep in keeps:
                for offset in offsets if has_offset(rule) else [0.0]:
                    if keep + offset > 1 + SLACK:
                        left_out += 1
                        continue
                    at = f" offset {offset:g}" if has_offset(rule) else ""
                    name = f"{rule} {column} keep {keep:g}{at}"
                    cells[name] = Cell(name, rule, column, keep, offset)
    if not cells:
        if not columns:
            raise OptionError(
                "the grid has no cell: random rows are trained anyhow; name another column with "
                "`by`"
            )
        raise OptionError(
            f"no window fits: the least of `keep`, {min(keeps):g}, and the least of `offset`, "
            f"{min(offsets):g}, make more than 1 together"
        )
    return list(cells.values()), left_out


def options_of(cell: Cell) -> dict[str, Any]:
    """The keywords of `select` for a cell."""
    offset = {"offset": cell.offset} if cell.has_offset else {}
    return {"rule": cell.rule, "by": cell.by, "keep": cell.keep, **offset}


@dataclass(frozen=True, eq=False)
class Sweep:
    """The cells of a grid, and what came of retraining them, with the baselines full and random."""

    cells: tuple[Cell, ...]
    outcomes: Outcomes

    @classmethod
    def joined(cls, outcomes: Outcomes, cells: Iterable[Cell]) -> "Sweep":
        """The sweep of these cells; its outcomes hold them, too."""
        kept = {cell.name: {k: v for k, v in asdict(cell).items() if k != "name"} for cell in cells}
        return cls.of(replace(outcomes, cells=kept))

    @classmethod
    def of(cls, outcomes: Outcomes) -> "Sweep":
        """From outcomes that hold their cells.

        Raises OptionError for those of a plain retraining.
        """
        if not outcomes.cells:
            raise OptionError(
                "these outcomes are those of a retraining and not of a sweep; run prune-kit sweep"
            )
        return cls(
            tuple(Cell(name=name, **values) for name, values in outcomes.cells.items()), outcomes
        )

    def accuracies(self, name: str) -> np.ndarray:
        """Test accuracies (R,) by seed, of a cell or of a baseline.

        Empty where it was not trained.
        """
        return np.array(
            [accuracy for _, accuracy in sorted(self.outcomes.accuracies(name).items())]
        )

    def full(self) -> np.ndarray:
        """Test accuracies (R,) on all rows."""
        return self.accuracies(FULL)

    def random(self, kept: int) -> np.ndarray:
        """Test accuracies (R,) on `kept` random rows."""
        return self.accuracies(random_name(kept))

    def kept(self, name: str) -> int:
        """How many rows a cell keeps."""
        return next(row.kept for row in self.outcomes.rows if row.selection == name)

    def rows(self) -> int:
        """How many rows the full data has."""
        return max(row.kept for row in self.outcomes.rows)


def band(values: np.ndarray) -> tuple[float, float, float]:
    """The mean, the 16th and the 84th percentile of accuracies (R,)."""
    low, high = np.percentile(values, PERCENTILES)
    return float(values.mean()), float(low), float(high)


def select_cells(table: ScoreTable, cells: Iterable[Cell]) -> dict[str, Selection]:
    """The selection of every cell of a grid, by its name. Raises what `pipeline.select` raises."""
    return {cell.name: choose(table, **options_of(cell)) for cell in cells}
