"""The picture of an evaluation: precision over recall, with the list marked."""

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from prune_kit.cleaning.evaluation import Evaluation
from prune_kit.errors import OptionError
from prune_kit.reporting.figures.comparison import PALETTE
from prune_kit.storage import files

BLUE, VERMILION = PALETTE[:2]


def draw_evaluation(found: Evaluation, path: Path) -> Path:
    """Draw the precision and recall of every cut of the ranking, and of the list; PNG or SVG by the suffix of `path`.

    `figures.check_picture` tells at the door whether the suffix is one of them. Raises OptionError
    where no label is wrong, FileError.
    """
    if not found.wrong:
        raise OptionError(
            f"--picture {path}: there is nothing to draw; none of the {found.rows:,} labels is "
            "wrong"
        )
    figure = Figure(figsize=(6.4, 5.2), layout="constrained")
    axes = figure.subplots()
    _draw_curve(axes, found)
    if found.flagged:
        _mark_list(axes, found)
    axes.set(
        xlabel="recall: wrong labels on the list (% of all wrong labels)",
        ylabel="precision: wrong labels on the list (% of the list)",
        xlim=(0, 102),
        ylim=(0, 104),
    )
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(
        fontsize=8, frameon=False, loc="outside lower center"
    )  # a curve may pass through any corner
    axes.set_title(_title(found), fontsize=10)
    metadata = (
        {"Date": None} if path.suffix == ".svg" else {}
    )  # the same numbers make the same file
    with files.replacing(path) as temporary, matplotlib.rc_context({"svg.hashsalt": "prune_kit"}):
        figure.savefig(temporary, format=path.suffix[1:], dpi=150, metadata=metadata)
    return path


def _draw_curve(axes: Axes, found: Evaluation) -> None:
    """Steps, since the area below them is the average precision; and the precision of a list drawn at random."""
    curve = found.curve
    recall, precision = np.append(0, curve.recall), np.append(curve.precision[0], curve.precision)
    ranking = f"cuts of the ranking (average precision {found.average_precision:.3f})"
    axes.plot(100 * recall, 100 * precision, color=BLUE, drawstyle="steps-pre", label=ranking)
    chance = (
        f"rows drawn at random ({_percent(found.true_rate)} of {found.rows:,} labels are wrong)"
    )
    axes.axhline(100 * found.true_rate, color="grey", linewidth=0.8, linestyle="--", label=chance)


def _mark_list(axes: Axes, found: Evaluation) -> None:
    """A dot, off the curve where the list is not a cut of the ranking, and lines from it to the axes."""
    recall, precision = 100 * found.recall, 100 * found.precision
    axes.plot(
        [0, recall, recall],
        [precision, precision, 0],
        color=VERMILION,
        linewidth=0.8,
        linestyle=":",
    )
    other = "" if _on_curve(found) else ", not a cut of this ranking"
    label = f"the list ({found.flagged:,} rows, {found.found:,} of them wrong){other}"
    axes.plot(
        [recall],
        [precision],
        "o",
        color=VERMILION,
        markersize=8,
        clip_on=False,
        zorder=3,
        label=label,
    )


def _on_curve(found: Evaluation) -> bool:
    return bool(
        np.any((found.curve.listed == found.flagged) & (found.curve.recall == found.recall))
    )


def _title(found: Evaluation) -> str:
    if not found.flagged:
        return f"Nothing is flagged, though {_percent(found.true_rate)} of the labels are wrong"
    recall, precision = _percent(found.recall), _percent(found.precision)
    if not _on_curve(found):
        return f"The list finds {recall} of the wrong labels; {precision} of it is wrong"
    return f"The cut finds {recall} of the wrong labels; {precision} of the list is wrong"


def _percent(share: float) -> str:
    """Whole percents, which say 0 and 100 only where it is so."""
    if 0 < share <= 0.005:
        return "under 1 %"
    return "over 99 %" if 0.995 <= share < 1 else f"{100 * share:.0f} %"
