"""How a sweep is printed."""

from typing import Any

from rich.table import Table
from rich.text import Text

from prune_kit.results.outcomes import OutcomeSummary, is_baseline
from prune_kit.retraining.grid import Cell, Sweep
from prune_kit_cli.screen import count_of
from prune_kit_cli.views.tables import difference, outcomes_json


def grid_sentence(cells: list[Cell], left_out: int, runs: int) -> str:
    """The number of cells, and the largest number of networks."""
    sizes = len({cell.keep for cell in cells})
    networks = runs * (len(cells) + sizes + 1)
    more = f"; {left_out} left out, where keep and offset make more than 1" if left_out else ""
    return (
        f"{count_of(len(cells), 'cell')}, {count_of(sizes, 'size')} of random rows and all rows, "
        f"{count_of(runs, 'seed')} each: at most {networks} networks{more}"
    )


def sweep_table(sweep: Sweep) -> Table:
    """A line for each cell and baseline: what it keeps, its accuracy, the paired differences."""
    view = Table(
        "rule",
        "column",
        "keep",
        "offset",
        "rows",
        "test accuracy",
        "middle 2/3 of seeds",
        "minus full (95%)",
        "minus random (95%)",
        box=None,
        header_style="bold",
    )
    cells = {cell.name: cell for cell in sweep.cells}
    for line in sweep.outcomes.summaries():
        cell = cells.get(line.name)
        what = (line.name, "", "", "") if cell is None else _what(cell)
        view.add_row(*(Text(word) for word in what), f"{line.kept:,}", *_figures(line))
    return view


def _what(cell: Cell) -> tuple[str, str, str, str]:
    return cell.rule, cell.by, f"{cell.keep:g}", f"{cell.offset:g}" if cell.has_offset else ""


def _figures(line: OutcomeSummary) -> tuple[str, str, str, str]:
    return (
        f"{100 * line.mean:.2f} %",
        f"{100 * line.low:.2f} to {100 * line.high:.2f}",
        difference(line.minus_full),
        difference(line.minus_random),
    )


def sweep_json(sweep: Sweep) -> list[dict[str, Any]]:
    """The summary of every cell and baseline, as JSON values; accuracies are shares in [0, 1]."""
    cells = {cell.name: cell for cell in sweep.cells}
    return [
        summary | ({} if is_baseline(summary["name"]) else vars(cells[summary["name"]]))
        for summary in outcomes_json(sweep.outcomes)
    ]
