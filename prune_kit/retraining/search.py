"""The search for a window: short trainings of every candidate, long ones of those that lead.

Successive halving (Jamieson, Talwalkar 2016, https://arxiv.org/abs/1502.07943) over a grid of
selections: cells spread over the grid are trained briefly with one seed, the best quarter of them
longer with two; the leader, its neighbours in the grid and the same share without an offset are
then trained in full length with every seed. Nothing here trains: `search` is given a function that
does.
"""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from prune_kit.checks import check_kind
from prune_kit.errors import OptionError
from prune_kit.results.outcomes import FULL, Outcomes
from prune_kit.results.table import ScoreTable
from prune_kit.retraining.grid import Cell, grid
from prune_kit.selectors import DEFAULT_RULE

if TYPE_CHECKING:
    pass

LENGTHS = (
    (1 / 4, 1),
    (1 / 2, 2),
)  # shares of the protocol's epochs, and seeds; the rest is in full length
LEAST_EPOCHS = 3  # after one or two, easy rows are best whatever the labels (benchmarks/RESULTS.md)
# of a line with more, so many are tried first: windows side by side hold nearly the same rows
MOST_OFFSETS = 13
SURVIVORS = 4  # one of so many goes on to the next stage
DEFAULT_WITHIN = 0.005
KEEPS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
OFFSETS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6)
GOALS = 'accuracy, or "within 0.5 points of full, keep least"'
TESTED = 4  # these two, full data, random rows

# Trains cells for so many epochs with so many seeds, under all data too where that is asked for.
Train = Callable[[Sequence[Cell], int, int], Outcomes]


@dataclass(frozen=True)
class Goal:
    """What is looked for: the highest accuracy, or the least data at most `within` below full."""

    within: float | None = None

    @classmethod
    def of(cls, text: str) -> "Goal":
        """From the user's words. Raises OptionError for any that are not known."""
        words = " ".join(text.lower().split())
        if words == "accuracy":
            return cls()
        found = re.fullmatch(r"within ([0-9]*\.?[0-9]+) points? of full(, keep least)?", words)
        if not found or float(found[1]) > 100:
            raise OptionError(f"goal={text!r} is unknown; expected {GOALS}")
        return cls(float(found[1]) / 100)

    @property
    def words(self) -> str:
        """What `of` reads as this goal."""
        return (
            "accuracy"
            if self.within is None
            else f"within {100 * self.within:g} points of full, keep least"
        )

    def describe(self) -> str:
        """In words that fit into a sentence."""
        if self.within is None:
            return "the highest accuracy"
        return f"the least data within {100 * self.within:g} points of full"


@dataclass(frozen=True)
class Stage:
    """One round of a search: so many `cells`, for so many `epochs`, with so many `seeds`."""

    epochs: int
    seeds: int
    cells: int


@dataclass(frozen=True)
class SearchCost:
    """What tuning costs: its `networks`, as much work as `wholes` trainings in full length.

    `confirmed` cells at most are trained in full length, as many again for each further share to
    keep, should the first not hold. `grid` is what the whole grid would cost, in trainings.
    """

    short: tuple[Stage, ...]
    confirmed: int
    networks: int
    wholes: float
    grid: int


@dataclass(frozen=True)
class Candidates:
    """The `cells` that a search chooses among, what it looks for, and how many cells were left out.

    Left out are those whose share to keep and offset make more than 1.
    """

    cells: tuple[Cell, ...]
    goal: Goal
    left_out: int


def candidates(
    table: ScoreTable,
    *,
    goal: str | None = None,
    by: str | Iterable[str] | None = None,
    keep: float | Iterable[float] | None = None,
    offset: Iterable[float] | None = None,
    rule: str | Iterable[str] = (DEFAULT_RULE,),
) -> Candidates:
    """What a search chooses among, and its goal.

    Parameters
    ----------
    table : the scores that rank.
    goal : "accuracy" (the default for one share to keep), or "within 0.5 points of full, keep
        least" (the default for several).
    by : the columns that rank; it may be left out where the table has one.
    keep : one share to keep or several; KEEPS unless it is given.
    offset : the shares to skip; OFFSETS unless they are given.
    rule : the rules that select.

    Raises
    ------
    OptionError, TableError
        for what does not fit or does not exist.
    """
    check_kind(table, ScoreTable, "table", "score")
    keeps = KEEPS if keep is None else (keep,) if isinstance(keep, float | int) else tuple(keep)
    columns = [table.column(None).name] if by is None else [by] if isinstance(by, str) else list(by)
    usual = Goal(None if len(keeps) == 1 else DEFAULT_WITHIN)
    rules = [rule] if isinstance(rule, str) else rule
    offsets = OFFSETS if offset is None else offset
    cells, left_out = grid(table, columns, rules, keeps, offsets)
    return Candidates(tuple(cells), usual if goal is None else Goal.of(goal), left_out)


def stages_of(epochs: int, runs: int) -> list[tuple[int, int]]:
    """The epochs and seeds of the short stages.

    Those of a protocol of three epochs or fewer have fewer seeds alone.
    """
    return [
        (min(max(round(length * epochs), LEAST_EPOCHS), epochs), min(seeds, runs))
        for length, seeds in LENGTHS
    ]


def cost_of(cells: Sequence[Cell], goal: Goal, epochs: int, runs: int) -> SearchCost:
    """What `search` and the final test will cost at most, and what the whole grid would.

    Parameters
    ----------
    cells, goal, epochs, runs : as of `search`.
    """
    groups = [len(_spread(group)) for group in _groups(cells, goal)]
    full = int(goal.within is not None)
    short, networks, steps = [], 0, 0
    for length, seeds in stages_of(epochs, runs):
        if _settled(groups, goal):
            break
        short.append(Stage(length, seeds, sum(groups)))
        networks += seeds * (sum(groups) + full)
        steps += length * seeds * (sum(groups) + full)
        groups = [_surviving(count) for count in groups]
    confirmed = max(
        len({c.name for c in (cell, *neighbours(cell, cells), *_top(cell, cells))})
        for cell in cells
    )
    whole = runs * (confirmed + full + TESTED)
    sizes = len({cell.keep for cell in cells})
    return SearchCost(
        tuple(short),
        confirmed,
        networks + whole,
        steps / epochs + whole,
        runs * (len(cells) + sizes + 1),
    )


def search(
    cells: Sequence[Cell], goal: Goal, epochs: int, runs: int, train: Train
) -> tuple[Cell, bool, tuple[Outcomes, ...]]:
    """The cell that serves the goal best, whether it meets it, and the outcomes of every round.

    For "accuracy" all cells compete. For "within" they compete among those that keep the same
    share; the least share whose leader is close enough to full is confirmed, with its neighbours,
    then the next larger ones until one holds. A neighbour that proves better has its own neighbours
    confirmed, and so on: what is found is the best among all that stand next to it. Short trainings
    favour easy rows, so the same share without an offset is confirmed too.

    Parameters
    ----------
    cells : the candidates.
    goal : what is looked for.
    epochs, runs : the epochs and the seeds of a training in full length.
    train : trains some of the cells, see `Train`.
    """
    groups, rounds = [_spread(group) for group in _groups(cells, goal)], list[Outcomes]()
    for length, seeds in stages_of(epochs, runs):
        if _settled([len(group) for group in groups], goal):
            break
        outcomes = train([cell for group in groups for cell in group], length, seeds)
        rounds.append(outcomes)
        groups = [_ranked(group, outcomes)[: _surviving(len(group))] for group in groups]
    waiting = _to_confirm([group[0] for group in groups], goal, rounds[-1] if rounds else None)
    confirmed: dict[str, Cell] = {}
    while waiting:
        candidate = waiting.pop(0)
        confirmed |= {
            cell.name: cell
            for cell in (candidate, *neighbours(candidate, cells), *_top(candidate, cells))
        }
        outcomes = train(list(confirmed.values()), epochs, runs)
        best, met = _best(list(confirmed.values()), goal, outcomes)
        if met:
            inside = all(cell.name in confirmed for cell in neighbours(best, cells))
            waiting = [] if inside else [best]
    return best, met, (*rounds, outcomes)


def neighbours(cell: Cell, cells: Iterable[Cell]) -> list[Cell]:
    """The cells next to one in the grid: the next offsets, and the next shares to keep."""
    alike = [other for other in cells if (other.rule, other.by) == (cell.rule, cell.by)]
    beside = _next(
        [other for other in alike if other.keep == cell.keep], cell, lambda other: other.offset
    )
    return beside + _next(
        [other for other in alike if other.offset == cell.offset], cell, lambda other: other.keep
    )


def _top(cell: Cell, cells: Iterable[Cell]) -> list[Cell]:
    """The cell of the same rule, column and share without an offset, where the grid has it."""
    return [
        c for c in cells if (c.rule, c.by, c.keep, c.offset) == (cell.rule, cell.by, cell.keep, 0)
    ]


def _next(line: list[Cell], cell: Cell, place: Callable[[Cell], float]) -> list[Cell]:
    ordered = sorted(line, key=place)
    at = ordered.index(cell)
    return ordered[max(at - 1, 0) : at] + ordered[at + 1 : at + 2]


def _groups(cells: Sequence[Cell], goal: Goal) -> list[list[Cell]]:
    """The cells that compete with each other, by ascending share to keep."""
    if goal.within is None:
        return [list(cells)]
    ordered = sorted(cells, key=lambda cell: cell.keep)
    return [list(group) for _, group in groupby(ordered, key=lambda cell: cell.keep)]


def _spread(group: list[Cell]) -> list[Cell]:
    """Of each line of offsets at most MOST_OFFSETS cells, evenly spread, both ends among them."""
    lines: dict[tuple[str, str, float], list[Cell]] = {}
    for cell in sorted(group, key=lambda cell: cell.offset):
        lines.setdefault((cell.rule, cell.by, cell.keep), []).append(cell)
    places = {
        key: np.linspace(0, len(line) - 1, min(len(line), MOST_OFFSETS))
        for key, line in lines.items()
    }
    return [line[place] for key, line in lines.items() for place in places[key].round().astype(int)]


def _settled(sizes: Sequence[int], goal: Goal) -> bool:
    """Whether a further short stage would decide nothing.

    Every group has one cell then, and the shares are not compared.
    """
    return max(sizes) == 1 and (goal.within is None or len(sizes) == 1)


def _surviving(count: int) -> int:
    return math.ceil(count / SURVIVORS)


def _ranked(group: list[Cell], outcomes: Outcomes) -> list[Cell]:
    """The group by accuracy, best first.

    That of a cell is weighed with those of the offsets beside it, 1 : 2 : 1.

    They say nearly the same, and one seed says little. A neighbour that was not trained counts as
    the cell itself.
    """
    mean = {cell.name: mean_accuracy(outcomes, cell.name) for cell in group}

    def smooth(cell: Cell) -> float:
        line = [
            other
            for other in group
            if (other.rule, other.by, other.keep) == (cell.rule, cell.by, cell.keep)
        ]
        beside = [mean[other.name] for other in _next(line, cell, lambda other: other.offset)]
        return mean[cell.name] + sum(value - mean[cell.name] for value in beside) / 4

    return sorted(group, key=smooth, reverse=True)


def _to_confirm(leaders: list[Cell], goal: Goal, outcomes: Outcomes | None) -> list[Cell]:
    """The leaders in the order in which they are confirmed, until one holds."""
    if goal.within is None or outcomes is None:
        return leaders
    floor = mean_accuracy(outcomes, FULL) - goal.within
    first = next(
        (n for n, cell in enumerate(leaders) if mean_accuracy(outcomes, cell.name) >= floor),
        len(leaders) - 1,
    )
    return leaders[first:]


def _best(cells: list[Cell], goal: Goal, outcomes: Outcomes) -> tuple[Cell, bool]:
    """The cell that serves the goal best by these outcomes, and whether it meets it."""
    mean = {cell.name: mean_accuracy(outcomes, cell.name) for cell in cells}
    best = max(cells, key=lambda cell: mean[cell.name])
    if goal.within is None:
        return best, True
    floor = mean_accuracy(outcomes, FULL) - goal.within
    near = [cell for cell in cells if mean[cell.name] >= floor]
    return (
        (min(near, key=lambda cell: (cell.keep, -mean[cell.name])), True) if near else (best, False)
    )


def mean_accuracy(outcomes: Outcomes, name: str) -> float:
    """The mean over the seeds of a cell's accuracy, or of a baseline's."""
    return float(np.mean(list(outcomes.accuracies(name).values())))
