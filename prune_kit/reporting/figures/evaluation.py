"""The figure of an evaluation: precision over recall, with the list marked."""

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


def draw_evaluation(evaluation: Evaluation, path: Path) -> Path:
    """Draw the precision and recall of every cut of the ranking, and of the list.

    Parameters
    ----------
    evaluation
        The evaluation of a list.
    path
        The file to write: a PNG or SVG, by its suffix (see `figures.comparison.check_picture`).

    Returns
    -------
    Path
        The file.

    Raises
    ------
    OptionError
        No label is wrong.
    FileError
        The file cannot be written.
    """
    if not evaluation.wrong:
        raise OptionError(
            f"picture={str(path)!r}: there is nothing to draw; none of the {evaluation.rows:,} "
            "labels is wrong"
        )
    figure = Figure(figsize=(6.4, 5.2), layout="constrained")
    axes = figure.subplots()
    _draw_curve(axes, evaluation)
    if evaluation.flagged:
        _mark_list(axes, evaluation)
    axes.set(
        xlabel="recall: wrong labels on the list (% of all wrong labels)",
        ylabel="precision: wrong labels on the list (% of the list)",
        xlim=(0, 102),
        ylim=(0, 104),
    )
    axes.spines[["top", "right"]].set_visible(False)
    # outside, because a curve may pass through any corner
    figure.legend(fontsize=8, frameon=False, loc="outside lower center")
    axes.set_title(_title(evaluation), fontsize=10)
    # without a date the same numbers make the same file
    metadata = {"Date": None} if path.suffix == ".svg" else {}
    with files.replacing(path) as temporary, matplotlib.rc_context({"svg.hashsalt": "prune_kit"}):
        figure.savefig(temporary, format=path.suffix[1:], dpi=150, metadata=metadata)
    return path


def _draw_curve(axes: Axes, evaluation: Evaluation) -> None:
    """The curve, and the precision of rows drawn at random.

    The curve has steps, so that the area below it is the average precision.
    """
    curve = evaluation.curve
    recall = np.append(0, curve.recall)
    precision = np.append(curve.precision[0], curve.precision)
    ranking = f"cuts of the ranking (average precision {evaluation.average_precision:.3f})"
    axes.plot(100 * recall, 100 * precision, color=BLUE, drawstyle="steps-pre", label=ranking)
    wrong = f"{_percent(evaluation.true_rate)} of {evaluation.rows:,} labels are wrong"
    chance = f"rows drawn at random ({wrong})"
    axes.axhline(
        100 * evaluation.true_rate, color="grey", linewidth=0.8, linestyle="--", label=chance
    )


def _mark_list(axes: Axes, evaluation: Evaluation) -> None:
    """A dot for the list, and lines from it to the axes.

    The dot is off the curve if the list is not a cut of the ranking.
    """
    recall = 100 * evaluation.recall
    precision = 100 * evaluation.precision
    axes.plot(
        [0, recall, recall],
        [precision, precision, 0],
        color=VERMILION,
        linewidth=0.8,
        linestyle=":",
    )
    other = "" if _on_curve(evaluation) else ", not a cut of this ranking"
    label = f"the list ({evaluation.flagged:,} rows, {evaluation.found:,} of them wrong){other}"
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


def _on_curve(evaluation: Evaluation) -> bool:
    return bool(
        np.any(
            (evaluation.curve.listed == evaluation.flagged)
            & (evaluation.curve.recall == evaluation.recall)
        )
    )


def _title(evaluation: Evaluation) -> str:
    if not evaluation.flagged:
        return (
            f"Nothing is flagged, though {_percent(evaluation.true_rate)} of the labels are wrong"
        )
    recall = _percent(evaluation.recall)
    precision = _percent(evaluation.precision)
    if not _on_curve(evaluation):
        return f"The list finds {recall} of the wrong labels; {precision} of it is wrong"
    return f"The cut finds {recall} of the wrong labels; {precision} of the list is wrong"


def _percent(share: float) -> str:
    """Whole percents. Only exact shares are 0 and 100."""
    if 0 < share <= 0.005:
        return "under 1 %"
    return "over 99 %" if 0.995 <= share < 1 else f"{100 * share:.0f} %"
