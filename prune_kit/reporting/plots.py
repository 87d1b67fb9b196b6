"""The figures of the report, drawn by matplotlib's objects: no window, no global state.

The title of a figure says what it shows. The colours are those of `figures.comparison.PALETTE`,
which differ for readers who do not see hues, too.
"""

import io
import tempfile
import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib
import numpy as np
from jaxtyping import Float, Num
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from prune_kit.comparison.compare import Comparison
from prune_kit.reporting.blocks import Picture, visible
from prune_kit.reporting.figures.comparison import MARKERS, PALETTE, draw_comparison

BINS = 50
# the axis is logarithmic if the fullest bin has more than this many times the rows of a median bin
STEEP = 50
BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK = PALETTE
GREY = "#767676"
WIDTH = 7.2  # inches
LINE_WIDTH = 92  # characters of a title in one line
NAME_LENGTH = 28  # characters of a name at an axis
CELL_LENGTH = 44  # of the name of a sweep's cell; these names differ at their ends


def picture(
    name: str,
    title: str,
    caption: str,
    height: float,
    fill: Callable[[Axes], None],
    *,
    vector: bool = True,
) -> Picture:
    """A figure of one panel.

    Parameters
    ----------
    name, title, caption, vector : see `Picture`.
    height : in inches.
    fill : draws into the panel.
    """

    def draw(format: str) -> bytes:
        with plainly():
            figure = Figure(figsize=(WIDTH, height), layout="constrained", facecolor="white")
            axes = figure.subplots()
            fill(axes)
            axes.spines[["top", "right"]].set_visible(False)
            figure.suptitle(
                textwrap.fill(visible(title, 300), LINE_WIDTH), fontsize=10, x=0.01, ha="left"
            )
            buffer = io.BytesIO()
            dated: dict[str, str | None] = {"Date": None} if format == "svg" else {}
            figure.savefig(buffer, format=format, dpi=130, metadata=dated)
            return buffer.getvalue()

    return Picture(name, title, caption, draw, vector)


@contextmanager
def plainly(mathematics: bool = False) -> Iterator[None]:
    """Settings of matplotlib: names are not mathematics, and the same numbers make the same file.

    A character that the font lacks becomes a box, without a warning.
    """
    with (
        matplotlib.rc_context({"svg.hashsalt": "prune_kit", "text.parse_math": mathematics}),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        warnings.filterwarnings(
            "ignore", message="Matplotlib currently does not support .* natively"
        )
        yield


def comparison_picture(name: str, title: str, caption: str, comparison: Comparison) -> Picture:
    """The figure of `prune-kit compare --picture`, which writes its own title.

    Powers of ten on its colour bar are mathematics. So a name in it must not hold a dollar sign.

    Parameters
    ----------
    name, title, caption : see `Picture`. The title is not drawn.
    comparison : what `draw_comparison` draws.
    """

    def draw(format: str) -> bytes:
        with plainly(mathematics=True), tempfile.TemporaryDirectory() as folder:
            return draw_comparison(comparison, Path(folder) / f"comparison.{format}").read_bytes()

    return Picture(name, title, caption, draw, vector=False)


def bars(
    axes: Axes,
    names: Sequence[str],
    values: Num[np.ndarray, "K"],
    label: str,
    mean: float | None = None,
) -> None:
    """A horizontal bar for each name, the first on top, with its value, and a line at `mean`.

    Parameters
    ----------
    axes : the panel.
    names : what stands at each of the K bars.
    values : the lengths (K,). NaN has no bar, and reads "none".
    label : the words at the axis of the values.
    mean : where a dashed line stands for all classes; None for no line.
    """
    places = np.arange(len(names))
    axes.barh(places, np.nan_to_num(values), color=BLUE, height=0.7)
    for place, value in zip(places, values, strict=True):
        text = (
            "none" if np.isnan(value) else f" {value:,.4g}" if value < 10_000 else f" {value:,.0f}"
        )
        axes.text(
            float(np.nan_to_num(value)), float(place), text, va="center", fontsize=7, zorder=3,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
        )  # fmt: skip
    if mean is not None:
        axes.axvline(
            mean, color=GREY, linewidth=0.8, linestyle="--", label=f"all classes: {mean:,.4g}"
        )
        _legend_below(axes)
    _name_rows(axes, names)
    axes.set(xlabel=label)
    axes.margins(x=0.12)
    axes.set_xlim(left=0)


def histogram(axes: Axes, values: Float[np.ndarray, "n"], label: str) -> None:
    """A histogram of scores.

    Parameters
    ----------
    axes : the panel.
    values : the scores (n,), at least one of them, all finite.
    label : the words at their axis.
    """
    counts, edges = np.histogram(values.astype(np.float64), bins=BINS)
    axes.stairs(counts, edges, fill=True, color=BLUE)
    filled = counts[counts > 0]
    if filled.max() > STEEP * np.median(filled):
        axes.set_yscale("log")
        # the usual formatter writes mathematics
        axes.yaxis.set_major_formatter(lambda count, _: f"{count:,.0f}")
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_ylim(bottom=0.8)
    axes.axvline(
        float(np.median(values)),
        color=VERMILION,
        linewidth=1.2,
        label=f"median {np.median(values):.4g}",
    )
    axes.legend(fontsize=8, frameon=False)
    axes.set(xlabel=label, ylabel=f"training rows{' (log scale)' * (axes.get_yscale() == 'log')}")


def boxes(
    axes: Axes, names: Sequence[str], quantiles: Float[np.ndarray, "K 5"], median: float, label: str
) -> None:
    """A box for each name.

    A line runs from the 5th to the 95th percentile, a box from the 25th to the 75th, and a mark
    stands at the 50th: the columns of `quantiles`.

    Parameters
    ----------
    axes : the panel.
    names : what stands at each of the K boxes.
    quantiles : (K, 5), each row ascending.
    median : that of all rows, where a dashed line stands.
    label : the words at the axis of the scores.
    """
    places = np.arange(len(names))
    axes.hlines(places, quantiles[:, 0], quantiles[:, 4], color=GREY, linewidth=1)
    axes.barh(
        places, quantiles[:, 3] - quantiles[:, 1], left=quantiles[:, 1], color=SKY, height=0.6
    )
    axes.plot(quantiles[:, 2], places, "|", color=BLACK, markersize=10, markeredgewidth=1.6)
    axes.axvline(
        median,
        color=VERMILION,
        linewidth=0.9,
        linestyle="--",
        label=f"median of all rows: {median:.4g}",
    )
    _legend_below(axes)
    _name_rows(axes, names)
    axes.set(xlabel=label)


def window(
    axes: Axes,
    scores: Float[np.ndarray, "n"],
    shares: dict[str, Float[np.ndarray, "B"]],
    span: tuple[float, float] | None,
    label: str,
) -> None:
    """The sorted scores as a line, and below it areas for the reasons.

    Parameters
    ----------
    axes : the panel.
    scores : the scores, easiest first.
    shares : by reason, the share of the rows in each of B parts of the ranking.
    span : the percentiles between which rows are kept, if those are one piece.
    label : the name of the score.
    """
    right = axes.twinx()
    bins = len(next(iter(shares.values())))
    edges = np.linspace(0, 100, bins + 1)
    bottom = np.zeros(bins)
    colors = {"kept": "#bfe5d8", "dropped-easy": "#cfe6f5", "dropped-hard": "#f5d3c0"}
    for reason, share in shares.items():
        top = bottom + 100 * share
        color = colors.get(reason, "#dddddd")
        axes.stairs(top, edges, baseline=bottom, fill=True, color=color, label=reason)
        bottom = top
    place = np.unique(np.linspace(0, len(scores) - 1, 600).astype(int))
    right.plot(100 * (place + 0.5) / len(scores), scores[place], color=BLACK, linewidth=1.4)
    for edge in span or ():
        axes.axvline(edge, color=VERMILION, linewidth=1.1, linestyle="--")
    axes.set(
        xlabel="percentile of hardness (left: easiest)",
        ylabel="training rows there, %",
        xlim=(0, 100),
    )
    axes.set_ylim(0, 100)
    right.set_ylabel(f"{label} (black line)")
    right.spines["top"].set_visible(False)
    _legend_below(axes)


def two_kinds(
    axes: Axes, wrong: Float[np.ndarray, "a"], right: Float[np.ndarray, "b"], label: str
) -> None:
    """Histograms of the scores of wrong and of right labels, each in shares of its own number.

    Parameters
    ----------
    axes : the panel.
    wrong, right : the scores (a,) and (b,) of the labels of each kind, all finite.
    label : the words at the axis of the scores.
    """
    edges = np.histogram_bin_edges(np.concatenate([wrong, right]).astype(np.float64), bins=BINS)
    for values, color, name in ((right, BLUE, "right labels"), (wrong, VERMILION, "wrong labels")):
        share = 100 * np.histogram(values, edges)[0] / max(len(values), 1)
        axes.stairs(
            share, edges, fill=True, color=color, alpha=0.45, label=f"{name} ({len(values):,})"
        )
        axes.stairs(share, edges, color=color, linewidth=1.2)
    axes.legend(fontsize=8, frameon=False)
    axes.set(xlabel=label, ylabel="share of the labels of the kind, %")


def dots(
    axes: Axes,
    names: Sequence[str],
    seeds: Sequence[Sequence[float]],
    bands: Float[np.ndarray, "K 3"],
    full: float,
) -> None:
    """For each name its mean, a line between two percentiles, and a small dot for each seed, in %.

    Parameters
    ----------
    axes : the panel.
    names : what stands at each of the K lines.
    seeds : for each name the accuracies of its seeds, in [0, 1].
    bands : (K, 3), for each name the mean and the 16th and the 84th percentile, in [0, 1].
    full : the mean accuracy of all rows, in [0, 1]; NaN for no line.
    """
    places = np.arange(len(names))
    axes.hlines(places, 100 * bands[:, 1], 100 * bands[:, 2], color=BLUE, linewidth=2)
    for place, values in zip(places, seeds, strict=True):
        axes.plot(
            100 * np.asarray(values),
            np.full(len(values), place),
            "o",
            color=GREY,
            markersize=3,
            alpha=0.7,
        )
    axes.plot(100 * bands[:, 0], places, "D", color=BLUE, markersize=6, label="mean over seeds")
    if not np.isnan(full):
        axes.axvline(
            100 * full, color=VERMILION, linewidth=0.9, linestyle="--", label="mean of all rows"
        )
    axes.plot([], [], "o", color=GREY, markersize=3, label="one seed")
    _legend_below(axes)
    _name_rows(axes, names, CELL_LENGTH)
    axes.set(xlabel="test accuracy at the last epoch, %")


def curves(
    axes: Axes, names: Sequence[str], shares: Float[np.ndarray, "K T"], across: str, up: str
) -> None:
    """A line for each name over 1 .. T. The shares are drawn in %.

    Parameters
    ----------
    axes : the panel.
    names : what each of the K lines is called.
    shares : (K, T), in [0, 1].
    across, up : the words at the two axes.
    """
    places = np.arange(1, shares.shape[1] + 1)
    for number, (name, line) in enumerate(zip(names, shares, strict=True)):
        axes.plot(
            places,
            100 * line,
            color=PALETTE[number % len(PALETTE)],
            label=visible(name, NAME_LENGTH),
            marker=MARKERS[number % len(MARKERS)],
            markersize=4 if len(places) <= 40 else 0,
            linewidth=1.2,
        )
    axes.set(xlabel=across, ylabel=up, ylim=(0, 103))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8, frameon=False)


def _legend_below(axes: Axes) -> None:
    """A legend outside the panel, because bars and lines may pass through any corner."""
    assert isinstance(axes.figure, Figure)
    axes.figure.legend(fontsize=8, frameon=False, loc="outside lower right", ncols=4)


def _name_rows(axes: Axes, names: Sequence[str], longest: int = NAME_LENGTH) -> None:
    axes.set_yticks(np.arange(len(names)), [visible(name, longest) for name in names], fontsize=8)
    axes.invert_yaxis()
    axes.set_ylim(len(names) - 0.4, -0.6)
