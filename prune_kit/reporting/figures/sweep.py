"""Figures of a sweep, as in Data Diet: accuracy over the share pruned, the epoch and the offset."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from prune_kit.reporting.figures.comparison import MARKERS, PALETTE
from prune_kit.retraining.grid import Cell, Sweep, band
from prune_kit.selectors import DEFAULT_RULE
from prune_kit.storage import files

BASELINE = "#666666"
HALF_A_POINT = 0.005
OFFSET_AXIS = "offset: share skipped at the hard end, %"
Line = tuple[str, list[tuple[float, Cell]]]


@dataclass(frozen=True, eq=False)
class Curves:
    """One figure of a sweep.

    Parameters
    ----------
    name
        The name of its file, without the suffix.
    title
        What the figure shows.
    fill
        Draws the figure into a panel.
    """

    name: str
    title: str
    fill: Callable[[Axes], None]


def curves_of(sweep: Sweep) -> list[Curves]:
    """The figures for which the grid has a line of at least two points."""
    drawn = [
        ("pruned", _by_share(sweep), "share of the training rows that is pruned, %"),
        ("epoch", _by_epoch(sweep), "epoch at which the score was taken"),
        ("offset", _by_offset(sweep), OFFSET_AXIS),
    ]
    return [
        Curves(
            f"sweep-{name}", _title(sweep, name, lines), partial(_fill, sweep, name, lines, label)
        )
        for name, lines, label in drawn
        if lines
    ]


def draw_sweep(sweep: Sweep, folder: Path) -> list[Path]:
    """Draw the figures of a sweep.

    Returns
    -------
    list of Path
        The PNG files.

    Raises
    ------
    FileError
        A file cannot be written.
    """
    paths = []
    for curves in curves_of(sweep):
        figure = Figure(figsize=(7.2, 4.8), layout="constrained")
        axes = figure.subplots()
        curves.fill(axes)
        axes.set_title(curves.title, fontsize=10, loc="left")
        figure.supxlabel(f"{caption(sweep)}; {sweep.outcomes.data}", fontsize=7)
        path = folder / f"{curves.name}.png"
        with (
            files.replacing(path) as temporary,
            matplotlib.rc_context({"svg.hashsalt": "prune_kit"}),
        ):
            figure.savefig(temporary, format="png", dpi=150)
        paths.append(path)
    return paths


def caption(sweep: Sweep) -> str:
    """The meaning of a line and its band."""
    seeds = len(sweep.accuracies(sweep.cells[0].name))
    return f"mean and middle two thirds of {seeds} seed{'s' * (seeds != 1)}"


def _fill(sweep: Sweep, name: str, lines: list[Line], label: str, axes: Axes) -> None:
    for number, (title, points) in enumerate(lines):
        places = [place for place, _ in points]
        _band(axes, places, [sweep.accuracies(cell.name) for _, cell in points], title, number)
    if name == "pruned":
        _random_line(axes, sweep, [cell for _, points in lines for _, cell in points])
    if len(sweep.full()):
        mean, low, high = (100 * value for value in band(sweep.full()))
        axes.axhline(mean, color=BASELINE, linestyle="--", linewidth=1, label="all rows")
        axes.axhspan(low, high, color=BASELINE, alpha=0.12, linewidth=0)
    if name == "epoch":
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel=label, ylabel="test accuracy at the last epoch, %")
    axes.legend(fontsize=8, frameon=False)
    axes.grid(alpha=0.25)


def _band(
    axes: Axes, places: list[float], accuracies: list[np.ndarray], title: str, number: int
) -> None:
    bands = [band(values) for values in accuracies]
    means, lows, highs = (100 * np.array(values) for values in zip(*bands, strict=True))
    colour = PALETTE[number % len(PALETTE)]
    axes.plot(
        places,
        means,
        color=colour,
        marker=MARKERS[number % len(MARKERS)],
        markersize=5,
        label=title,
    )
    axes.fill_between(places, lows, highs, color=colour, alpha=0.15, linewidth=0)


def _random_line(axes: Axes, sweep: Sweep, cells: Iterable[Cell]) -> None:
    counts = sorted(
        {sweep.kept(cell.name) for cell in cells if len(sweep.random(sweep.kept(cell.name)))},
        reverse=True,
    )
    if counts:
        means, lows, highs = (
            100 * np.array(v)
            for v in zip(*(band(sweep.random(count)) for count in counts), strict=True)
        )
        places = [100 * (1 - count / sweep.rows()) for count in counts]
        axes.plot(places, means, color=BASELINE, marker="x", linestyle=":", label="random rows")
        axes.fill_between(places, lows, highs, color=BASELINE, alpha=0.12, linewidth=0)


def _lines(
    cells: Iterable[Cell], key: Callable[[Cell], tuple[object, ...]], x: Callable[[Cell], float]
) -> list[Line]:
    """A line along `x` for the cells that agree in `key`, if it has at least two points."""
    ordered = sorted(cells, key=lambda cell: (*map(str, key(cell)), x(cell)))
    lines = [
        (" ".join(map(str, k)), [(x(c), c) for c in group]) for k, group in groupby(ordered, key)
    ]
    return [(title, points) for title, points in lines if len({place for place, _ in points}) > 1]


def _by_share(sweep: Sweep) -> list[Line]:
    offsets = {cell.offset for cell in sweep.cells}

    def key(cell: Cell) -> tuple[object, ...]:
        at = (f"offset {cell.offset:g}",) if len(offsets) > 1 and cell.has_offset else ()
        return (*_rule_named(cell), cell.by, *at)

    return _lines(sweep.cells, key, lambda cell: 100 * (1 - sweep.kept(cell.name) / sweep.rows()))


def _by_epoch(sweep: Sweep) -> list[Line]:
    offsets = {cell.offset for cell in sweep.cells}

    def key(cell: Cell) -> tuple[object, ...]:
        at = (f"offset {cell.offset:g}",) if len(offsets) > 1 else ()
        return (*_rule_named(cell), cell.method, f"keep {cell.keep:g}", *at)

    return _lines(
        [c for c in sweep.cells if c.epoch is not None], key, lambda cell: float(cell.epoch or 0)
    )


def _by_offset(sweep: Sweep) -> list[Line]:
    def key(cell: Cell) -> tuple[object, ...]:
        return (*_rule_named(cell), cell.by, f"keep {cell.keep:g}")

    shifted = [cell for cell in sweep.cells if cell.has_offset]
    return _lines(shifted, key, lambda cell: 100 * cell.offset)


def _rule_named(cell: Cell) -> tuple[str, ...]:
    """The rule, where it is not the one that is taken unasked."""
    return () if cell.rule == DEFAULT_RULE else (cell.rule,)


def _title(sweep: Sweep, name: str, lines: list[Line]) -> str:
    """What the figure shows, in one line, measured against all rows."""
    cells = [cell for _, points in lines for _, cell in points]
    if not len(sweep.full()):
        return f"{len(cells)} selections, retrained"
    full = float(sweep.full().mean())
    if name == "pruned":
        within = [
            cell for cell in cells if full - sweep.accuracies(cell.name).mean() <= HALF_A_POINT
        ]
        if not within:
            return "No selection stays within half a point of all rows"
        most = min(within, key=lambda cell: sweep.kept(cell.name))
        pruned = 100 * (1 - sweep.kept(most.name) / sweep.rows())
        return f"Within half a point of all rows with {pruned:.0f} % pruned: {most.name}"
    spread = max(
        np.ptp([sweep.accuracies(cell.name).mean() for _, cell in points]) for _, points in lines
    )
    what = "the epoch of the score" if name == "epoch" else "the offset"
    return f"With {what}, the accuracy of a line changes by up to {100 * spread:.1f} points"
