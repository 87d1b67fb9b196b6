"""The best window, found on a validation split: short trainings of every candidate, long ones of the few that lead.

Successive halving (Jamieson, Talwalkar 2016, https://arxiv.org/abs/1502.07943) over a grid of
selections: cells spread over the grid are trained briefly with one seed, the best quarter of them
longer with two; the leader, its neighbours in the grid and the same share without an offset are
then trained in full length with every seed. Nothing here trains: `search` is given a function that
does.
"""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from prune_kit.checks import check_seeds
from prune_kit.errors import OptionError
from prune_kit.results.outcomes import FULL, Difference, Outcome, Outcomes
from prune_kit.results.selection import Selection
from prune_kit.results.table import ScoreTable
from prune_kit.retraining.grid import Cell, grid

if TYPE_CHECKING:
    from prune_kit.protocol.config import TrainConfig

LENGTHS = (
    (1 / 4, 1),
    (1 / 2, 2),
)  # shares of the protocol's epochs, and seeds; the rest is in full length
LEAST_EPOCHS = 3  # after one or two, easy rows are best whatever the labels (benchmarks/RESULTS.md)
# of a line with more, so many are tried first: windows side by side hold nearly the same rows
MOST_OFFSETS = 13
MOST_VALIDATION = 0.5  # a larger split would judge networks that saw less than it
SURVIVORS = 4  # one of so many goes on to the next stage
VALIDATION = 0.2
DEFAULT_WITHIN = 0.005
SEARCH_SEEDS = (
    1000  # beyond those of the final test: no network judges the window that its own twin chose
)
KEEPS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
OFFSETS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6)
GOALS = 'accuracy, or "within 0.5 points of full, keep least"'
FOUND, TOP = "selection", "top-rule"  # the names under which the test set sees them
AXES = ("by", "rule", "keep", "offset")
TESTED = 4  # these two, full data, random rows

# Trains cells for so many epochs with so many seeds, under all data too where that is asked for.
Train = Callable[[Sequence[Cell], int, int], Outcomes]


@dataclass(frozen=True)
class Goal:
    """What is looked for: the highest accuracy, or the least data that is at most `within` (a share) below full."""

    within: float | None = None

    @classmethod
    def of(cls, text: str) -> "Goal":
        """From the user's words. Raises OptionError for any that are not known."""
        words = " ".join(text.lower().split())
        if words == "accuracy":
            return cls()
        found = re.fullmatch(r"within ([0-9]*\.?[0-9]+) points? of full(, keep least)?", words)
        if not found or float(found[1]) > 100:
            raise OptionError(f"--goal {text!r} is unknown; expected {GOALS}")
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
class Plan:
    """What tuning costs, known before it starts: its `networks`, as much work as `wholes` trainings in full length.

    `confirmed` cells at most are trained in full length, as many again for each further share to
    keep, should the first not hold. `grid` is what the whole grid would cost, in trainings.
    """

    short: tuple[Stage, ...]
    confirmed: int
    networks: int
    wholes: float
    grid: int


@dataclass(frozen=True, eq=False)
class Tuning:
    """What was found: the `cell`, its `selection` of the whole training set, and whether it `met` the goal.

    `rounds` are the outcomes on the validation split, the short stages first, each with its cells;
    `test` those of the selection, of the top rule, of full data and of random rows on the test set,
    which nothing else has touched. `grid` are all candidates, also those that were not trained;
    `share` of the training rows judged them.
    """

    goal: Goal
    grid: tuple[Cell, ...]
    cell: Cell
    met: bool
    selection: Selection
    rounds: tuple[Outcomes, ...]
    test: Outcomes
    share: float = VALIDATION

    def against_top(self) -> Difference | None:
        """How much more accurate on the test set than the same share without an offset; None where it has none."""
        return self.test.difference(FOUND, TOP)

    def validation(self) -> Outcomes:
        """All trainings on the validation split in one, named by cell and epochs; `rounds_of` takes it apart."""
        rows: dict[tuple[str, int], Outcome] = {}
        cells: dict[str, dict[str, Any]] = {}
        for outcomes in self.rounds:
            ending = _ending(next(iter(outcomes.cells.values()))["epochs"])
            rows |= {
                (r.selection + ending, r.seed): replace(r, selection=r.selection + ending)
                for r in outcomes.rows
            }
            cells |= {name + ending: dict(cell) for name, cell in outcomes.cells.items()}
        cells[self.cell.name + ending] |= {
            "found": True,
            "goal": self.goal.words,
            "met": self.met,
            "validation": self.share,
            "grid": {
                axis: list(dict.fromkeys(getattr(cell, axis) for cell in self.grid))
                for axis in AXES
            },
        }
        return replace(self.rounds[-1], rows=tuple(rows.values()), cells=cells)


def rounds_of(outcomes: Outcomes) -> tuple[Outcomes, ...]:
    """The rounds of a search, the shortest trainings first, from what `Tuning.validation` made of them."""
    rounds = []
    for epochs in dict.fromkeys(cell["epochs"] for cell in outcomes.cells.values()):
        ending = _ending(epochs)
        named = [
            (row.selection.removesuffix(ending), row)
            for row in outcomes.rows
            if row.selection.endswith(ending)
        ]
        cells = {
            name.removesuffix(ending): cell
            for name, cell in outcomes.cells.items()
            if cell["epochs"] == epochs
        }
        rounds.append(
            replace(
                outcomes,
                rows=tuple(replace(row, selection=name) for name, row in named),
                cells=cells,
            )
        )
    return tuple(rounds)


def found_of(rounds: Sequence[Outcomes]) -> str:
    """The name of the cell that a search chose, of rounds that `rounds_of` gave. Raises OptionError for none."""
    found = (
        next((name for name, cell in rounds[-1].cells.items() if cell.get("found")), None)
        if rounds
        else None
    )
    if found is None:
        raise OptionError("this search does not say what it found; run prune-kit tune again")
    return found


def goal_of(rounds: Sequence[Outcomes]) -> tuple[Goal | None, bool]:
    """What a search was for, and whether what it found is that; None for one that was written before it said so."""
    cell = rounds[-1].cells[found_of(rounds)]
    return (Goal.of(cell["goal"]) if "goal" in cell else None), cell.get("met", True)


def grid_of(rounds: Sequence[Outcomes]) -> dict[str, list[Any]]:
    """The values along each of the AXES among which a search chose; of an older file, those that it trained."""
    cells = [cell for outcomes in rounds for cell in outcomes.cells.values()]
    trained = {axis: list(dict.fromkeys(cell[axis] for cell in cells)) for axis in AXES}
    return dict(rounds[-1].cells[found_of(rounds)].get("grid", trained))


def validation_of(rounds: Sequence[Outcomes]) -> float:
    """The share of the training rows that judged; of an older file, which does not say so, the usual one."""
    return float(rounds[-1].cells[found_of(rounds)].get("validation", VALIDATION))


def is_search(outcomes: Outcomes) -> bool:
    """Whether outcomes are those of a search and not of a retraining or a sweep."""
    return any("epochs" in cell for cell in outcomes.cells.values())


def _ending(epochs: int) -> str:
    return f", {epochs} epoch{'s' * (epochs > 1)}"


def candidates(
    table: ScoreTable,
    *,
    goal: str | None,
    by: str | Iterable[str] | None,
    keep: float | Iterable[float] | None,
    offset: Iterable[float],
    rule: str | Iterable[str],
) -> tuple[list[Cell], Goal, int]:
    """The cells that `tune` chooses among, its goal, and how many cells keep + offset > 1 left out.

    Without `keep` several shares are tried; without `goal` it is "accuracy" for one share, else
    "within 0.5 points". `by` may be left out where the table has one column. Raises OptionError,
    TableError.
    """
    keeps = KEEPS if keep is None else (keep,) if isinstance(keep, float | int) else tuple(keep)
    columns = [table.column(None).name] if by is None else [by] if isinstance(by, str) else list(by)
    chosen = (
        Goal.of(goal) if goal is not None else Goal(None if len(keeps) == 1 else DEFAULT_WITHIN)
    )
    cells, left_out = grid(table, columns, [rule] if isinstance(rule, str) else rule, keeps, offset)
    return cells, chosen, left_out


def check_effort(runs: int, validation: float, seed: int | None = None) -> None:
    """Raise OptionError for a number of seeds, or a share of the training rows that judges, out of range."""
    check_seeds(runs, seed)
    if not 0 < validation <= MOST_VALIDATION:
        raise OptionError(
            f"--validation {validation:g} is out of range; above 0 and at most {MOST_VALIDATION:g}"
        )


def shortened(config: "TrainConfig", epochs: int) -> "TrainConfig":
    """The protocol squeezed into so many `epochs`, milestones and all."""
    milestones = sorted({max(round(at * epochs / config.epochs), 1) for at in config.milestones})
    return (
        config
        if epochs == config.epochs
        else config.changed({"epochs": epochs, "milestones": milestones})
    )


def stages_of(epochs: int, runs: int) -> list[tuple[int, int]]:
    """The epochs and seeds of the short stages; those of a protocol of three epochs or fewer have fewer seeds alone."""
    return [
        (min(max(round(length * epochs), LEAST_EPOCHS), epochs), min(seeds, runs))
        for length, seeds in LENGTHS
    ]


def plan(cells: Sequence[Cell], goal: Goal, epochs: int, runs: int) -> Plan:
    """What `search` and the final test will cost at most, and what the whole grid would."""
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
    return Plan(
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
    """The cells next to one in the grid: the next offset either way, and the next share to keep either way."""
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
    """Whether a further short stage would tell nothing: every group has one cell, and the shares are not compared."""
    return max(sizes) == 1 and (goal.within is None or len(sizes) == 1)


def _surviving(count: int) -> int:
    return math.ceil(count / SURVIVORS)


def _ranked(group: list[Cell], outcomes: Outcomes) -> list[Cell]:
    """The group by accuracy, best first; that of a cell is weighed with those of the offsets beside it, 1 : 2 : 1.

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


def with_cells(outcomes: Outcomes, cells: Iterable[Cell], epochs: int) -> Outcomes:
    """The outcomes of a round, with what each cell is and how long it was trained."""
    kept = {
        c.name: {**{k: v for k, v in asdict(c).items() if k != "name"}, "epochs": epochs}
        for c in cells
    }
    return replace(outcomes, cells=kept)
