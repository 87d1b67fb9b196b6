"""How the search for a window is printed."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from prune_kit.results.claims import claim
from prune_kit.results.outcomes import FULL, Outcomes, random_name
from prune_kit.retraining.search import mean_accuracy
from prune_kit.retraining.tuning import FOUND, Tuning, TuningPlan
from prune_kit.selectors import has_offset
from prune_kit_cli.screen import count_of
from prune_kit_cli.views.tables import difference, outcomes_json

SHOWN = 12
UNTOLD = ("not distinguishable", "too few seeds")  # verdicts that tell two sets of rows not apart


def tuning_notes(plan: TuningPlan) -> list[tuple[str, str]]:
    """The plan of a search and its cost, before it starts."""
    cost = plan.cost
    goal = plan.among.goal
    cells = len(plan.among.cells)
    epochs = plan.protocol.epochs
    runs = plan.asked.runs
    counts = [
        f"{s.cells} evenly spread" if s.cells < cells and not n else f"{s.cells}"
        for n, s in enumerate(cost.short)
    ]
    short = [
        f"{count} for {count_of(s.epochs, 'epoch')} ({count_of(s.seeds, 'seed')})"
        for count, s in zip(counts, cost.short, strict=True)
    ]
    confirm = f"up to {cost.confirmed} for {count_of(epochs, 'epoch')} ({count_of(runs, 'seed')})"
    further = (
        "" if goal.within is None else " of one share to keep, then of larger ones until one holds"
    )
    return [
        ("goal", f"{goal.describe()}, among {count_of(cells, 'candidate')}"),
        ("judged on", f"{_judges(plan)}; the test set is looked at once, at the end"),
        ("search", f"{', '.join([*short, confirm])}{further}; then the test"),
        (
            "cost",
            f"up to {cost.networks} trainings, the work of {cost.wholes:.0f} whole ones (the "
            f"whole grid by `sweep`: {cost.grid}); up to {2 * runs} more for each time that a "
            "neighbour proves better"
            f"{'' if goal.within is None else f', {cost.confirmed * runs} for each further share'}",
        ),
    ]


def _judges(plan: TuningPlan) -> str:
    own = plan.data.validation
    if own is not None:
        return f"the {len(own.label):,} examples of the data's own validation set"
    return f"{plan.validation:.0%} of the training rows, held out, by the labels they have"


def search_table(rounds: Sequence[Outcomes], chosen: str, met: bool = True) -> Table:
    """The leaders of every round, and how far each in the last round is from the cell `chosen`.

    `met` says whether that cell meets the goal.
    """
    label = "found" if met else "nearest"
    view = Table(
        "epochs",
        "rule",
        "column",
        "keep",
        "offset",
        "seeds",
        "validation accuracy",
        f"minus {label} (95%)",
        box=None,
        header_style="bold",
    )
    for outcomes in rounds:
        ranked = sorted(outcomes.cells, key=lambda name: -mean_accuracy(outcomes, name))
        last = outcomes is rounds[-1]
        shown = ranked if last else ranked[:3]
        for name in shown[:SHOWN]:
            cell = outcomes.cells[name]
            apart = ""
            if last:
                apart = label if name == chosen else difference(outcomes.difference(name, chosen))
            view.add_row(
                str(cell["epochs"]),
                cell["rule"],
                Text(cell["by"]),
                f"{cell['keep']:g}",
                f"{cell['offset']:g}" if has_offset(cell["rule"]) else "",
                str(len(outcomes.accuracies(name))),
                f"{100 * mean_accuracy(outcomes, name):.2f} %",
                apart,
            )
        full = outcomes.accuracies(FULL)
        if full:
            apart = difference(outcomes.difference(FULL, chosen)) if last else ""
            percent = f"{100 * mean_accuracy(outcomes, FULL):.2f} %"
            epochs = str(next(iter(outcomes.cells.values()))["epochs"])
            view.add_row(epochs, "all rows", "", "1", "", str(len(full)), percent, apart)
        left = len(ranked) - len(shown[:SHOWN])
        if left:
            view.add_row("", "", f"and {left} more", "", "", "", "", "")
    return view


def found_sentence(tuning: Tuning) -> str:
    """The window that was found, and whether it meets the goal on the validation split."""
    if tuning.met:
        shortest, whole = (next(iter(tuning.rounds[at].cells.values()))["epochs"] for at in (0, -1))
        others = ", the others judged by short trainings" if shortest < whole else ""
        return (
            f"found: {tuning.cell.name} ({tuning.goal.describe()} on the validation split{others})"
        )
    last = tuning.rounds[-1]
    below = 100 * (mean_accuracy(last, FULL) - mean_accuracy(last, tuning.cell.name))
    return (
        f"no candidate meets the goal ({tuning.goal.describe()}); the nearest is "
        f"{tuning.cell.name}, {below:.2f} points below full on the validation split"
    )


def verdicts(tuning: Tuning) -> list[str]:
    """The result on the test set against full data, random rows, and the hardest rows."""
    test = tuning.test
    seeds = len(test.accuracies(FOUND))
    against = {
        "full data": test.difference(FOUND, FULL),
        "random rows": test.difference(FOUND, random_name(len(tuning.selection.index))),
        "the hardest rows without an offset": tuning.against_top(),
    }
    phrases = [claim(one, other) for other, one in against.items() if one is not None]
    lines = []
    if phrases:
        lines.append(f"On the test set, over {count_of(seeds, 'seed')}: {'; '.join(phrases)}.")
    others = [d for other, d in against.items() if d is not None and other != "full data"]
    if others and all(d.verdict in UNTOLD for d in others):
        lines.append(
            f"So {count_of(seeds, 'seed')} cannot tell this window from as many random rows; more "
            "--runs may tell."
        )
    elif tuning.against_top() is None:
        lines.append("The best offset is none: the hardest rows themselves.")
    return lines


def tuning_json(tuning: Tuning) -> dict[str, Any]:
    """The search and the test, as JSON values; accuracies are shares in [0, 1]."""
    top = tuning.against_top()
    return {
        "goal": tuning.goal.describe(),
        "met": tuning.met,
        "found": vars(tuning.cell),
        "rounds": rounds_json(tuning.rounds),
        "full": full_json(tuning.rounds),
        "test": outcomes_json(tuning.test),
        "minus_top": None if top is None else vars(top),
    }


def full_json(rounds: Sequence[Outcomes]) -> list[float | None]:
    """For each round, the mean validation accuracy of all rows, or None where not trained."""
    return [
        mean_accuracy(outcomes, FULL) if outcomes.accuracies(FULL) else None for outcomes in rounds
    ]


def rounds_json(rounds: Sequence[Outcomes]) -> list[list[dict[str, Any]]]:
    """For each round, its cells with the mean accuracy on the validation split."""
    return [
        [
            {**cell, "name": name, "accuracy": mean_accuracy(outcomes, name)}
            for name, cell in outcomes.cells.items()
        ]
        for outcomes in rounds
    ]
