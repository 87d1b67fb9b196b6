"""The figure of a search for a window: validation accuracy over the offset, a panel a share."""

import math
from collections.abc import Sequence
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from prune_kit.reporting.figures.comparison import MARKERS, PALETTE
from prune_kit.reporting.figures.sweep import OFFSET_AXIS
from prune_kit.results.outcomes import FULL, Outcomes
from prune_kit.retraining.grid import band
from prune_kit.retraining.search import mean_accuracy
from prune_kit.retraining.tuning import Tuning
from prune_kit.storage import files

ACROSS = 4  # panels in a row
CAPTION = "bars: the middle two thirds of the seeds"


def draw_tuning(tuning: Tuning, path: Path) -> Path:
    """Draw every round of a search as a PNG. A round has a colour, and the found cell a ring.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    FileError
        The file cannot be written.
    """
    keeps = sorted({cell["keep"] for outcomes in tuning.rounds for cell in outcomes.cells.values()})
    across = min(len(keeps), ACROSS)
    down = math.ceil(len(keeps) / across)
    figure = Figure(figsize=(3.0 * across + 2.6, 2.6 * down + 1.4), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True).ravel().tolist()
    for axes, keep in zip(panels, keeps, strict=False):
        _draw_rounds(axes, tuning.rounds, keep)
        axes.set_title(f"keep {100 * keep:g} %", fontsize=9)
    for axes in panels[len(keeps) :]:
        axes.set_visible(False)
    last = tuning.rounds[-1]
    chosen = tuning.cell
    best = 100 * mean_accuracy(last, chosen.name)
    _ring(panels[keeps.index(chosen.keep)], last, chosen.name)
    shown = {
        label: handle
        for axes in panels
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        shown.values(), shown.keys(), loc="outside right center", fontsize=8, frameon=False
    )
    figure.suptitle(
        f"{chosen.name}:\n{best:.1f} % on the validation split", fontsize=10, x=0.01, ha="left"
    )
    figure.supylabel("accuracy on the validation split, %", fontsize=9)
    dashed = "; dashed: all rows" if last.accuracies(FULL) else ""
    figure.supxlabel(f"{OFFSET_AXIS}\n{CAPTION}{dashed}", fontsize=8)
    with files.replacing(path) as temporary, matplotlib.rc_context({"svg.hashsalt": "prune_kit"}):
        figure.savefig(temporary, format="png", dpi=150)
    return path


def fill_panel(axes: Axes, rounds: Sequence[Outcomes], chosen: str) -> None:
    """Draw one panel, that of the share that the cell `chosen` keeps, with its labels.

    Parameters
    ----------
    axes
        The panel.
    rounds
        The rounds of the search, the shortest trainings first.
    chosen
        The name of a cell of the last round. A ring marks it.
    """
    _draw_rounds(axes, rounds, rounds[-1].cells[chosen]["keep"])
    _ring(axes, rounds[-1], chosen)
    axes.set(xlabel=OFFSET_AXIS, ylabel="accuracy on the validation split, %")
    axes.legend(fontsize=8, frameon=False)


def _draw_rounds(axes: Axes, rounds: Sequence[Outcomes], keep: float) -> None:
    tried = set[tuple[str, str, float]]()
    for number, outcomes in enumerate(rounds):
        tried |= {_place(cell) for cell in outcomes.cells.values() if cell["keep"] == keep}
        _draw_round(axes, outcomes, keep, number, tried)
    axes.grid(alpha=0.25)


def _ring(axes: Axes, last: Outcomes, chosen: str) -> None:
    """A ring around the chosen cell."""
    axes.plot(
        100 * last.cells[chosen]["offset"],
        100 * mean_accuracy(last, chosen),
        "o",
        markersize=13,
        fillstyle="none",
        color="black",
        linestyle="none",
        label="found",
    )


def _draw_round(
    axes: Axes, outcomes: Outcomes, keep: float, number: int, tried: set[tuple[str, str, float]]
) -> None:
    """The lines of a round in the panel of a share, one for each rule and column.

    A line is broken where the round left out an offset.
    """
    cells = [
        {"name": name, **cell} for name, cell in outcomes.cells.items() if cell["keep"] == keep
    ]
    several = len({(cell["rule"], cell["by"]) for cell in outcomes.cells.values()}) > 1
    colour = PALETTE[number % len(PALETTE)]
    for kind, (line, group) in enumerate(
        groupby(sorted(cells, key=_place), key=lambda cell: _place(cell)[:2])
    ):
        members = list(group)
        accuracies = [list(outcomes.accuracies(cell["name"]).values()) for cell in members]
        bands = [band(np.array(values)) for values in accuracies]
        means, lows, highs = (100 * np.array(values) for values in zip(*bands, strict=True))
        seeds = len(accuracies[0])
        epochs = members[0]["epochs"]
        label = (
            f"{epochs} epoch{'s' * (epochs > 1)}, {seeds} seed{'s' * (seeds > 1)}"
            + f", {' '.join(line)}" * several
        )
        own = [_place(cell) for cell in members]
        left_out = [any(one < place < other for place in tried) for one, other in pairwise(own)]
        places, means, lows, highs = (
            np.insert(values, np.flatnonzero(left_out) + 1, np.nan)
            for values in (
                np.array([100.0 * cell["offset"] for cell in members]),
                means,
                lows,
                highs,
            )
        )
        axes.errorbar(
            places,
            means,
            yerr=np.maximum([means - lows, highs - means], 0),
            label=label,
            color=colour,
            marker=MARKERS[kind % len(MARKERS)],
            markersize=4,
            linewidth=1,
            elinewidth=1,
        )
        if outcomes.accuracies(FULL):
            same = "all rows, same epochs" if number == 0 and kind == 0 else None
            axes.axhline(
                100 * mean_accuracy(outcomes, FULL),
                color=colour,
                linestyle="--",
                linewidth=0.8,
                label=same,
            )


def _place(cell: dict[str, Any]) -> tuple[str, str, float]:
    return cell["rule"], cell["by"], cell["offset"]
