"""How the evaluation of a list of suspected wrong labels is printed."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from prune_kit.cleaning.evaluation import Evaluation
from prune_kit_cli.views.tables import SHOWN_CLASSES


def evaluation_shown(evaluation: Evaluation, class_names: Sequence[str]) -> list[Any]:
    """A block about the whole list, and a table with a line for each class."""
    return [_summary(evaluation), "", *_classes(evaluation, class_names)]


def _summary(evaluation: Evaluation) -> Table:
    """A line for each number: its name, the number, what it is a share of."""
    view = Table("", "", "", box=None, show_header=False)
    view.columns[0].style = "bold"
    view.columns[1].justify = "right"
    counted = f"{evaluation.wrong:,}"
    lines = {
        "rows judged": (f"{evaluation.rows:,}", "with a score and a known true label"),
        "wrong labels": (counted, f"{_share(evaluation.true_rate)} of the rows"),
        "flagged": (f"{evaluation.flagged:,}", f"{evaluation.found:,} of them wrong"),
        "precision": (_share(evaluation.precision), "of the flagged rows are wrong"),
        "recall": (_share(evaluation.recall), "of the wrong labels are flagged"),
        "F1": (_number(evaluation.f1), "the harmonic mean of the two"),
        "AUROC": (
            _number(evaluation.auroc),
            "how often a wrong label is more suspect than a right one",
        ),
        "average precision": (
            _number(evaluation.average_precision),
            "over all cuts of the ranking",
        ),
        "precision at the true count": (
            _share(evaluation.precision_at_wrong),
            f"of the {counted} most suspect are wrong",
        ),
        "suggestions right": (
            _share(evaluation.suggestions_right),
            "of the flagged wrong labels have their true one suggested",
        ),
        "estimated share wrong": (_share(evaluation.estimated_rate), _rate(evaluation)),
    }
    for name, line in lines.items():
        view.add_row(name, *line)
    return view


def _rate(evaluation: Evaluation) -> str:
    """The estimated rate against the true one."""
    if math.isnan(evaluation.estimated_rate):
        return "no estimate"
    points = (
        f"{100 * evaluation.rate_error:+.1f} points from the true {_share(evaluation.true_rate)}"
    )
    if evaluation.rate_covered is None:
        return points
    held = "holds it" if evaluation.rate_covered else "misses it"
    interval = f"{100 * evaluation.rate_low:.1f} to {_share(evaluation.rate_high)}"
    return f"{points}; the interval {interval} {held}"


def _classes(evaluation: Evaluation, class_names: Sequence[str]) -> list[Any]:
    """A line for each given label; of more than SHOWN_CLASSES, those with the lowest F1 first."""
    order = list(range(len(class_names)))
    left_out = len(order) - SHOWN_CLASSES
    if left_out > 0:
        order = np.argsort([one.f1 for one in evaluation.per_class], kind="stable")[
            :SHOWN_CLASSES
        ].tolist()
    view = Table("given label", box=None, header_style="bold")
    for name in ("rows", "wrong", "flagged", "precision", "recall", "F1", "suggestions right"):
        view.add_column(name, justify="right")
    for number in order:
        one = evaluation.per_class[number]
        counts = (f"{count:,}" for count in (one.rows, one.wrong, one.flagged))
        shares = (
            _share(one.precision),
            _share(one.recall),
            _number(one.f1),
            _share(one.suggestions_right),
        )
        view.add_row(Text(class_names[number]), *counts, *shares)
    if left_out <= 0:
        return [view]
    return [
        view,
        f"The {SHOWN_CLASSES} classes with the lowest F1; --json has the other {left_out:,}, too.",
    ]


def _share(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.1%}".replace("%", " %")


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"
