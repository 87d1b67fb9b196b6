"""How a list of rows whose labels look wrong is printed."""

from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from prune_kit.reporting.sentences import (
    UNKNOWN,
    count_sentence,
    expectation_sentence,
    rate_sentence,
)
from prune_kit.reporting.sentences import percent as _percent
from prune_kit.results.removal import NO_SUGGESTION, Removal
from prune_kit_cli.screen import count_of
from prune_kit_cli.views.tables import SHOWN_CLASSES

SHOWN_CONFUSIONS = SHOWN_SUSPECTS = 10


def removal_shown(removal: Removal) -> list[Any]:
    """The number of listed rows, the expected quality of the list, and the tables with lines.

    The tables are the classes that lose most, the confusions, and the most suspect rows.
    """
    lines: list[Any] = [
        count_sentence(removal),
        rate_sentence(removal),
        expectation_sentence(removal),
    ]
    tables = (
        (len(removal.index), loss_table(removal)),
        (removal.clear.sum(), confusion_table(removal)),
        (len(removal.index), suspects_table(removal)),
    )
    for number, table in tables:
        lines += ["", table] if number else []
    return lines


def loss_table(removal: Removal) -> Table:
    """A line for each class that loses rows, the largest share first, at most SHOWN_CLASSES."""
    names, losses = removal.rows.class_names, removal.class_losses()
    listed = np.bincount(removal.label, minlength=len(names))
    training = np.bincount(removal.rows.label[removal.rows.training], minlength=len(names))
    view = Table("class", box=None, header_style="bold")
    for heading in ("listed", "of rows", "share"):
        view.add_column(heading, justify="right")
    view.add_column("")
    for number in _losing(removal)[:SHOWN_CLASSES]:
        bar = Text("\u2588" * round(20 * losses[number]), style="cyan")
        counts = (f"{listed[number]:,}", f"{training[number]:,}")
        view.add_row(Text(names[number]), *counts, _percent(losses[number]), bar)
    return view


def confusion_table(removal: Removal) -> Table:
    """The pairs (given class, clearly better class), the most frequent SHOWN_CONFUSIONS first."""
    names = removal.rows.class_names
    view = Table("given class", "suggested class", box=None, header_style="bold")
    view.add_column("rows", justify="right")
    for given, suggested, count in removal.confusions()[:SHOWN_CONFUSIONS]:
        view.add_row(Text(names[given]), Text(names[suggested]), f"{count:,}")
    return view


def suspects_table(removal: Removal, count: int = SHOWN_SUSPECTS) -> Table:
    """The `count` most suspect rows."""
    view = Table(
        "most suspect (id)", "index", "given class", "suggested class", "suspicion", box=None
    )
    view.header_style = "bold"
    for suspect in _suspects(removal, count):
        view.add_row(
            Text(suspect["id"]),
            str(suspect["index"]),
            Text(suspect["given"]),
            Text(_suggestion(suspect)),
            f"{suspect['suspicion']:.3f}",
        )
    return view


def removal_json(removal: Removal) -> dict[str, Any]:
    """What is shown, with all classes and confusions, as JSON values; NaN for an unknown number."""
    names = removal.rows.class_names
    return {
        "rows": len(removal.rows),
        "training": len(removal.rows.training),
        "removed": len(removal.index),
        "kept": len(removal.selection.index),
        "column": removal.column,
        "cut_method": removal.cut_method,
        "cut": removal.cut,
        "noise_rate": removal.noise_rate,
        "noise_rate_low": removal.noise_rate_low,
        "noise_rate_high": removal.noise_rate_high,
        "precision": removal.precision,
        "precision_low": removal.precision_low,
        "recall": removal.recall,
        "parameters": removal.parameters,
        **relabelled_json(removal),
        "class_losses": dict(zip(names, removal.class_losses(), strict=True)),
        "confusions": [
            {"given": names[given], "suggested": names[suggested], "rows": count}
            for given, suggested, count in removal.confusions()
        ],
        "suspects": _suspects(removal, SHOWN_SUSPECTS),
    }


def relabelled_sentence(removal: Removal) -> str:
    """How many labels the suggestions change, in words."""
    counts = relabelled_json(removal)
    text = (
        f"a label for each of the {len(removal.rows):,} rows of {removal.rows.data}, "
        f"{counts['relabelled']:,} changed"
    )
    if counts["no_class_fits"]:
        listed = count_of(counts["no_class_fits"], "listed row")
        text += f"; of {listed} the label stays, since no class fits"
    if counts["no_suggestion"]:
        listed = count_of(counts["no_suggestion"], "listed row")
        text += f"; of {listed} the label stays, since nothing is known of other classes"
    return text


def relabelled_json(removal: Removal) -> dict[str, int]:
    """How many listed rows get another label, and how many keep theirs, by the reason."""
    unknown = removal.suggested_label == NO_SUGGESTION
    return {
        "relabelled": int(removal.clear.sum()),
        "no_class_fits": int((~removal.clear & ~unknown).sum()),
        "no_suggestion": int(unknown.sum()),
    }


def _losing(removal: Removal) -> list[int]:
    """The classes that lose rows, the largest share first."""
    losses = np.nan_to_num(removal.class_losses())
    return [number for number in np.argsort(-losses, kind="stable").tolist() if losses[number] > 0]


def _suspects(removal: Removal, count: int) -> list[dict[str, Any]]:
    names = removal.rows.class_names
    suspects = []
    for place, row in enumerate(removal.index[:count].tolist()):
        suggested = int(removal.suggested_label[place])
        suspects.append(
            {
                "id": removal.rows.id[row].decode("utf-8"),
                "index": row,
                "given": names[removal.rows.label[row]],
                "suggested": None if suggested == NO_SUGGESTION else names[suggested],
                "clear": bool(removal.clear[place]),
                "suspicion": float(removal.suspicion[place]),
            }
        )
    return suspects


def _suggestion(suspect: dict[str, Any]) -> str:
    if suspect["suggested"] is None:
        return UNKNOWN
    return str(suspect["suggested"]) + ("" if suspect["clear"] else " (but no class fits)")
