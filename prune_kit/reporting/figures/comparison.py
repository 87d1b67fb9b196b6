"""Figures of a comparison, drawn by matplotlib's objects: no window, no global state.

The colours are cividis and RdBu for values, and the palette of Okabe and Ito for lines. All of
them differ for readers who do not see hues, too.
"""

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator, NullFormatter
from scipy import stats

from prune_kit.comparison.compare import Comparison
from prune_kit.comparison.stability import Stability
from prune_kit.errors import OptionError
from prune_kit.storage import files

FORMATS = (".png", ".svg")
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vP*"
MOST_CURVES = 12  # in a panel; more cannot be told apart
CELLS = 50  # a side at most; squares, because hexagons leave gaps if a score has few values


def check_picture(path: Path) -> None:
    """Raise an error, before anything is computed, unless a picture can be written there.

    Raises
    ------
    OptionError
        The suffix is neither .png nor .svg.
    FileError
        There is a folder or a device.
    """
    if path.suffix not in FORMATS:
        raise OptionError(
            f"picture={str(path)!r}: expected a name that ends in {' or '.join(FORMATS)}"
        )
    files.target_of(path)


def draw_comparison(comparison: Comparison, path: Path) -> Path:
    """Draw the agreements, and beside them the stabilities if there are any.

    Parameters
    ----------
    comparison
        What `prune-kit compare` found.
    path
        The file to write: a PNG or SVG, by its suffix.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    OptionError
        The suffix is another one, or there is nothing to draw.
    FileError
        The file cannot be written.
    """
    check_picture(path)
    curves = [stability for stability in comparison.stabilities if stability.measured]
    draw_pairs, width, height = _pairs_panel(comparison)
    widths = [inches for inches in (width, 6.4 if curves else 0.0) if inches]
    if not widths:
        raise OptionError(
            f"picture={str(path)!r}: there is nothing to draw; one column, of one run"
        )
    # inches; square panels need them for their labels
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.08)
    figure = Figure(figsize=(sum(widths), height), layout=layout)
    panels = list(figure.subplots(1, len(widths), width_ratios=widths, squeeze=False)[0])
    if comparison.pairs:
        draw_pairs(panels[0], comparison)
    if curves:
        _draw_stabilities(panels[-1], curves)
    with files.replacing(path) as temporary, matplotlib.rc_context({"svg.hashsalt": "prune_kit"}):
        figure.savefig(temporary, format=path.suffix[1:], dpi=150, metadata=_metadata(path))
    return path


def _pairs_panel(comparison: Comparison) -> tuple[Callable[[Axes, Comparison], None], float, float]:
    """The function that draws the agreements, and its width and height in inches.

    The width is 0 if there is no pair.
    """
    if len(comparison.pairs) < 2:
        return _draw_pair, 5.6 * len(comparison.pairs), 5.2
    across, down = ({pair[side].name for pair in comparison.pairs} for side in (0, 1))
    return _draw_matrix, 4.0 + 0.75 * len(across), max(5.0, 2.6 + 0.5 * len(down))


def _metadata(path: Path) -> dict[str, str | None]:
    return {"Date": None} if path.suffix == ".svg" else {}  # the same numbers make the same file


def _draw_pair(axes: Axes, comparison: Comparison) -> None:
    """The density of the examples over the percentiles of both rankings."""
    [(one, other)] = comparison.pairs
    [agreement] = comparison.agreements
    top = comparison.top
    names = [one.name, other.name]
    if one.name == other.name and len(comparison.origins) == 2:
        names = [
            f"{name} of {origin}" for name, origin in zip(names, comparison.origins, strict=True)
        ]
    scored = comparison.rows & np.isfinite(one.hardness) & np.isfinite(other.hardness)
    x, y = (100 * (stats.rankdata(r.hardness[scored]) - 0.5) / scored.sum() for r in (one, other))
    bins = int(np.clip(np.sqrt(scored.sum()) / 2, 10, CELLS))
    square = ((0.0, 100.0), (0.0, 100.0))
    cells = axes.hist2d(x, y, bins=bins, range=square, cmin=1, cmap="cividis", norm=LogNorm())[3]
    bar = axes.figure.colorbar(
        cells, ax=axes, label=f"examples per cell ({bins} x {bins} cells)", shrink=0.8, format="%g"
    )
    bar.ax.yaxis.set_minor_formatter(NullFormatter())
    axes.set(
        xlabel=f"{names[0]}: percentile of hardness", ylabel=f"{names[1]}: percentile of hardness"
    )
    axes.set_aspect("equal")
    rho = agreement.spearman
    interval = "" if np.isnan(rho.low) else f" [{rho.low:.3f}, {rho.high:.3f}]"
    axes.set_title(
        f"{' and '.join(names)}: Spearman {rho.value:.3f}{interval}\n"
        f"{100 * agreement.hardest.value:.0f} % of the hardest {100 * top:g} % are the same, of "
        f"{agreement.rows:,} examples",
        fontsize=10,
    )


def _draw_matrix(axes: Axes, comparison: Comparison) -> None:
    """Spearman's correlation of each pair, as colour and number."""
    across = list(dict.fromkeys(one.name for one, _ in comparison.pairs))
    down = list(dict.fromkeys(other.name for _, other in comparison.pairs))
    matrix = np.full((len(down), len(across)), np.nan)
    for (one, other), agreement in zip(comparison.pairs, comparison.agreements, strict=True):
        matrix[down.index(other.name), across.index(one.name)] = agreement.spearman.value
    image = axes.imshow(matrix, cmap="RdBu", vmin=-1, vmax=1)
    for (row, column), value in np.ndenumerate(matrix):
        if not np.isnan(value):
            axes.text(
                column,
                row,
                f"{value:.2f}",
                ha="center",
                va="center",
                color="white" if abs(value) > 0.6 else "black",
            )
    axes.set_xticks(range(len(across)), across, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(down)), down)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.figure.colorbar(image, ax=axes, label="Spearman of hardness", shrink=0.7)
    if len(set(comparison.origins)) == 2:
        axes.set(xlabel=comparison.origins[0], ylabel=comparison.origins[1])
    title = "\n".join(
        textwrap.fill(line, 26 + 9 * len(across)) for line in _extremes(comparison).splitlines()
    )
    axes.set_title(title, fontsize=10, loc="left")


def _draw_stabilities(axes: Axes, curves: list[Stability]) -> None:
    """Spearman over the number of runs averaged, against other runs and against the mean of all.

    The mean of all with itself, which is 1, is left out.
    """
    shown = curves[:MOST_CURVES]
    for number, curve in enumerate(shown):
        color = PALETTE[number % len(PALETTE)]
        marker = MARKERS[(number + number // len(PALETTE)) % len(MARKERS)]
        format = dict[str, Any](color=color, marker=marker, markersize=4)
        axes.plot(curve.sizes, curve.independent, "-", label=curve.column, **format)
        part = [
            (k, rho) for k, rho in zip(curve.sizes, curve.with_all, strict=True) if k < curve.runs
        ]
        axes.plot(*zip(*part, strict=True), ":", alpha=0.6, **format)
    bar = curves[0].bar
    axes.axhline(bar, color="grey", linewidth=0.8)
    axes.text(
        1.01,  # in shares of the panel
        bar,
        f"{bar:g}\nasked for",
        transform=axes.get_yaxis_transform(),
        color="grey",
        fontsize=8,
        va="center",
    )
    axes.plot([], [], "-", color="grey", label="with as many other runs")
    axes.plot([], [], ":", color="grey", label="with the mean of all runs")
    axes.set(xlabel="runs averaged", ylabel="Spearman", ylim=(None, 1.01))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    most = max(k for curve in shown for k in (*curve.sizes, 1))
    axes.set_xlim(1 - 0.05 * most, 1.05 * most)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False, loc="lower right")
    few = (
        f"\n(the first {len(shown)} of {len(curves)} are drawn)" if len(shown) < len(curves) else ""
    )
    axes.set_title(_stability_title(curves) + few, fontsize=10)
    axes.set_box_aspect(0.75)
    axes.set_anchor("N")


def _extremes(comparison: Comparison) -> str:
    """The pair that agrees most, and the one that agrees least."""
    correlations = [
        (agreement.spearman.value, f"{one.name} and {other.name}")
        for (one, other), agreement in zip(comparison.pairs, comparison.agreements, strict=True)
        if not np.isnan(agreement.spearman.value)
    ]
    if not correlations:
        return "No pair can be ranked"
    most = max(correlations)
    least = min(correlations)
    return f"{most[1]} agree most ({most[0]:.3f}),\n{least[1]} least ({least[0]:.3f})"


def _stability_title(curves: list[Stability]) -> str:
    reached = [curve for curve in curves if curve.enough is not None]
    if len(curves) == 1:
        [curve] = curves
        needed = curve.enough or curve.predicted
        many = (
            "no known number of"
            if needed is None
            else f"{'' if curve.enough else 'about '}{needed}"
        )
        runs = "run" if needed == 1 else "runs"
        return (
            f"{curve.column}: two means without a run in common\n"
            f"agree at {curve.bar:g} from {many} {runs} each on"
        )
    return (
        f"{len(reached)} of {len(curves)} scores reach {curves[0].bar:g} within the runs at hand\n"
        "(agreement of two means without a run in common)"
    )
