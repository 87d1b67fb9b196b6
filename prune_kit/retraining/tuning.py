"""Tuning: the window that serves a goal, found on a validation split, and what came of it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from prune_kit.checks import check_kind
from prune_kit.data.dataset import Dataset
from prune_kit.data.identity import check_same
from prune_kit.data.validation import validation_split
from prune_kit.errors import OptionError
from prune_kit.progress import Listener, note, silent
from prune_kit.protocol.config import TrainConfig
from prune_kit.protocol.defaults import chosen_protocol
from prune_kit.protocol.execution import Execution
from prune_kit.results.cells import AXES
from prune_kit.results.outcomes import FULL, Difference, Outcome, Outcomes
from prune_kit.results.selection import Selection
from prune_kit.results.table import ScoreTable
from prune_kit.retraining.grid import Cell, options_of, select_cells
from prune_kit.retraining.plan import AskedRetraining, plan_retraining, run_retraining
from prune_kit.retraining.search import Candidates, Goal, SearchCost, cost_of, search
from prune_kit.selectors import DEFAULT_RULE, choose

MOST_VALIDATION = 0.5  # a larger split would judge networks that saw less than it
VALIDATION = 0.2
SEARCH_SEEDS = (
    1000  # beyond those of the final test: no network judges the window that its own twin chose
)
FOUND, TOP = "selection", "top-rule"  # the names under which the test set sees them


@dataclass(frozen=True, eq=False)
class Tuning:
    """What was found: the `cell`, its `selection` of all rows, and whether it `met` the goal.

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
        """How much more accurate on the test set than the same share without an offset.

        None where it has none.
        """
        return self.test.difference(FOUND, TOP)

    def validation(self) -> Outcomes:
        """All trainings on the validation split in one, named by cell and epochs.

        `rounds_of` takes it apart.
        """
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
    """The rounds of a search, the shortest trainings first, from what `Tuning.validation` made."""
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
    """The name of the cell that a search chose, of rounds that `rounds_of` gave.

    Raises OptionError for none.
    """
    found = (
        next((name for name, cell in rounds[-1].cells.items() if cell.get("found")), None)
        if rounds
        else None
    )
    if found is None:
        raise OptionError("this search does not say what it found; run prune-kit tune again")
    return found


def goal_of(rounds: Sequence[Outcomes]) -> tuple[Goal | None, bool]:
    """What a search was for, and whether what it found is that.

    None for one that was written before it said so.
    """
    cell = rounds[-1].cells[found_of(rounds)]
    return (Goal.of(cell["goal"]) if "goal" in cell else None), cell.get("met", True)


def grid_of(rounds: Sequence[Outcomes]) -> dict[str, list[Any]]:
    """The values along each of the AXES among which a search chose.

    Of an older file, those that it trained.
    """
    cells = [cell for outcomes in rounds for cell in outcomes.cells.values()]
    trained = {axis: list(dict.fromkeys(cell[axis] for cell in cells)) for axis in AXES}
    return dict(rounds[-1].cells[found_of(rounds)].get("grid", trained))


def validation_of(rounds: Sequence[Outcomes]) -> float:
    """The share of the training rows that judged.

    Of an older file, which does not say so, the usual one.
    """
    return float(rounds[-1].cells[found_of(rounds)].get("validation", VALIDATION))


def is_search(outcomes: Outcomes) -> bool:
    """Whether outcomes are those of a search and not of a retraining or a sweep."""
    return any("epochs" in cell for cell in outcomes.cells.values())


def _ending(epochs: int) -> str:
    return f", {epochs} epoch{'s' * (epochs > 1)}"


@dataclass(frozen=True, eq=False, kw_only=True)
class TuningPlan:
    """What a tuning will do: among which candidates it searches, and what that costs.

    Parameters
    ----------
    data : the data set.
    table : the scores that rank.
    among : the candidates, and the goal.
    asked : the seeds and the budget of the trainings in full length.
    validation : the share of the training rows that judges, in (0, 0.5].
    protocol : the training protocol, in full length.
    retraining : what every retraining takes besides: where it runs, and the folder of the runs.
    """

    data: Dataset
    table: ScoreTable
    among: Candidates
    asked: AskedRetraining
    validation: float
    protocol: TrainConfig
    retraining: Mapping[str, Any]

    @property
    def cost(self) -> SearchCost:
        """How many trainings the search and the final test take at most."""
        among = self.among
        return cost_of(among.cells, among.goal, self.protocol.epochs, self.asked.runs)


def check_validation(share: float) -> None:
    """Raise OptionError for a share of the training rows that cannot judge."""
    if not 0 < share <= MOST_VALIDATION:
        raise OptionError(
            f"validation={share:g} is out of range; above 0 and at most {MOST_VALIDATION:g}"
        )


def plan_tuning(
    data: Dataset,
    table: ScoreTable,
    among: Candidates,
    asked: AskedRetraining,
    *,
    validation: float = VALIDATION,
    config: TrainConfig | None = None,
    changes: Mapping[str, Any] | None = None,
    execution: Execution | None = None,
    workdir: str | Path,
) -> TuningPlan:
    """Decide how the window is searched for. Nothing is trained, and nothing is written.

    Parameters are those of `TuningPlan`, `changes` of the protocol, and those of
    `plan_retraining`. Raises OptionError; IdentityError when the table is of other data.
    """
    check_kind(data, Dataset, "data", "load_data")
    check_kind(table, ScoreTable, "table", "score")
    check_same(data.rows, table.rows, f"the data {data.rows.data}", "the score table")
    check_validation(validation)
    return TuningPlan(
        data=data,
        table=table,
        among=among,
        asked=asked,
        validation=validation,
        protocol=chosen_protocol(data, config=config, earlier=table.setup, changes=changes),
        retraining={"execution": execution, "workdir": workdir},
    )


def run_tuning(plan: TuningPlan, progress: Listener = silent) -> Tuning:
    """Search on the validation split, then test what was found on the test set, once.

    Raises what selecting and retraining raise.
    """
    asked, goal = plan.asked, plan.among.goal
    split = validation_split(plan.data, plan.validation, asked.seed)
    reduced = replace(plan.table, rows=split.rows)
    judged = replace(
        asked,
        seed=asked.seed + SEARCH_SEEDS,
        baseline=() if goal.within is None else (FULL,),
    )

    def retrained(
        data: Dataset, selections: dict[str, Selection], asked: AskedRetraining, epochs: int
    ) -> Outcomes:
        config = shortened(plan.protocol, epochs)
        retrain_plan = plan_retraining(data, selections, asked, config=config, **plan.retraining)
        return run_retraining(retrain_plan, progress)

    def train(cells: Sequence[Cell], epochs: int, seeds: int) -> Outcomes:
        selections = select_cells(reduced, cells)
        candidates = f"{len(cells)} candidate{'s' * (len(cells) != 1)}"
        progress(note("search", f"{candidates} for {epochs} epoch{'s' * (epochs != 1)}"))
        outcomes = retrained(split, selections, replace(judged, runs=seeds), epochs)
        return with_cells(outcomes, cells, epochs)

    full = plan.protocol.epochs
    cell, met, rounds = search(plan.among.cells, goal, full, asked.runs, train)
    progress(note("found" if met else "nearest", f"{cell.name}; now the test set"))
    selection = choose(plan.table, **options_of(cell))
    tested = {FOUND: selection}
    hardest = choose(plan.table, rule=DEFAULT_RULE, by=cell.by, keep=cell.keep)
    if cell.offset or not np.array_equal(hardest.index, selection.index):
        tested[TOP] = hardest
    test = retrained(plan.data, tested, asked, full)
    return Tuning(goal, plan.among.cells, cell, met, selection, rounds, test, plan.validation)


def shortened(config: "TrainConfig", epochs: int) -> "TrainConfig":
    """The protocol squeezed into so many `epochs`, milestones and all."""
    milestones = sorted({max(round(at * epochs / config.epochs), 1) for at in config.milestones})
    return (
        config
        if epochs == config.epochs
        else config.changed({"epochs": epochs, "milestones": milestones})
    )


def with_cells(outcomes: Outcomes, cells: Iterable[Cell], epochs: int) -> Outcomes:
    """The outcomes of a round, with what each cell is and how long it was trained.

    Parameters
    ----------
    outcomes : those of the round.
    cells : what the round trained.
    epochs : for how long.
    """
    kept = {
        c.name: {**{k: v for k, v in asdict(c).items() if k != "name"}, "epochs": epochs}
        for c in cells
    }
    return replace(outcomes, cells=kept)
