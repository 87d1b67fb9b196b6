"""How the evaluation of a list of suspected wrong labels is printed."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from prune_kit.cleaning.evaluation import Evaluation
from prune_kit_cli.views.tables import SHOWN_CLASSES


def evaluation_shown(found: Evaluation, class_names: Sequence[str]) -> list[Any]:
    """A block about the whole list, and a table with a line per class."""
    return [_summary(found), "", *_classes(found, class_names)]


def _summary(found: Evaluation) -> Table:
    """A line per number: what it is called, the number, what it is a share of."""
    view = Table("", "", "", box=None, show_header=False)
    view.columns[0].style = "bold"
    view.columns[1].justify = "right"
    counted = f"{found.wrong:,}"
    lines = {
        "rows judged": (f"{found.rows:,}", "with a score and a known true label"),
        "wrong labels": (counted, f"{_share(found.true_rate)} of the rows"),
        "flagged": (f"{found.flagged:,}", f"{found.found:,} of them wrong"),
        "precision": (_share(found.precision), "of the flagged rows are wrong"),
        "recall": (_share(found.recall), "of the wrong labels are flagged"),
        "F1": (_number(found.f1), "the harmonic mean of the two"),
        "AUROC": (_number(found.auroc), "how often a wrong label is more suspect than a right one"),
        "average precision": (_number(found.average_precision), "over all cuts of the ranking"),
        "precision at the true count": (
            _share(found.precision_at_wrong),
            f"of the {counted} most suspect are wrong",
        ),
        "suggestions right": (
            _share(found.suggestions_right),
            "of the flagged wrong labels have their true one suggested",
        ),
        "estimated share wrong": (_share(found.estimated_rate), _rate(found)),
    }
    for name, line in lines.items():
        view.add_row(name, *line)
    return view


def _rate(found: Evaluation) -> str:
    """How the estimated rate compares with the true one."""
    if math.isnan(found.estimated_rate):
        return "no estimate"
    points = f"{100 * found.rate_error:+.1f} points from the true {_share(found.true_rate)}"
    if found.rate_covered is None:
        return points
    held = "holds it" if found.rate_covered else "misses it"
    return f"{points}; the interval {100 * found.rate_low:.1f} to {_share(found.rate_high)} {held}"


def _classes(found: Evaluation, class_names: Sequence[str]) -> list[Any]:
    """A line per class, by given label; of more than SHOWN_CLASSES those with the lowest F1, lowest first."""
    order = list(range(len(class_names)))
    left_out = len(order) - SHOWN_CLASSES
    if left_out > 0:
        order = np.argsort([one.f1 for one in found.per_class], kind="stable")[
            :SHOWN_CLASSES
        ].tolist()
    view = Table("given label", box=None, header_style="bold")
    for name in ("rows", "wrong", "flagged", "precision", "recall", "F1", "suggestions right"):
        view.add_column(name, justify="right")
    for number in order:
        one = found.per_class[number]
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
        f"The {SHOWN_CLASSES} classes with the lowest F1; --json has the other {left_out:,} as "
        "well.",
    ]


def _share(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.1%}".replace("%", " %")


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"
