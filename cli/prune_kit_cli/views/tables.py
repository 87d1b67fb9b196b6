"""Results as tables and sentences."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table
from rich.text import Text

from prune_kit.results.claims import signed
from prune_kit.results.column import ScoreColumn
from prune_kit.results.outcomes import Difference, Outcomes
from prune_kit.results.table import ScoreTable
from prune_kit_cli.screen import Screen as Screen
from prune_kit_cli.screen import count_of
from prune_kit_cli.screen import error_line as error_line
from prune_kit_cli.wording import spoken

if TYPE_CHECKING:
    from prune_kit.results.selection import Selection

SHOWN_CLASSES = 20
NAMED_CLASSES = 2  # the table above names them all


def score_table(table: ScoreTable, names: list[str]) -> Table:
    """A line for each column: its range over the training rows, and its hardest examples."""
    view = Table(
        "column",
        "easiest",
        "median",
        "hardest",
        "runs",
        "the hardest examples (id)",
        box=None,
        header_style="bold",
    )
    for name in names:
        summary = table.summary(name)
        ids = ", ".join(table.rows.id[row].decode("utf-8") for row in summary.examples)
        values = (summary.easiest, summary.median, summary.hardest)
        numbers = ["-" if math.isnan(value) else f"{value:.4g}" for value in values]
        view.add_row(name, *numbers, _networks_behind(table.columns[name]), Text(ids))
    return view


def _networks_behind(column: ScoreColumn) -> str:
    """The number of networks that a column averages over: runs, or ratios times folds."""
    folds = column.parameters.get("folds")
    return f"{len(column.parameters['ratios'])}x{folds}" if folds else str(column.runs or "-")


def probes_sentence(table: ScoreTable) -> str:
    """The number of rows that were trained on under a planted wrong label."""
    return (
        f"{len(table.probes):,} of {len(table.rows.training):,} training rows had a planted wrong "
        "label while scoring"
    )


def error_lines(table: ScoreTable, names: list[str]) -> list[str]:
    """A line about the standard error and the missing votes, for each column of votes."""
    lines = []
    for name in names:
        column = table.columns[name]
        if "per_ratio" in column.extras:
            from prune_kit.scorers import cscore

            ratios, folds = column.parameters["ratios"], column.parameters["folds"]
            of = f"{count_of(folds, 'fold')} at {count_of(len(ratios), 'ratio')}"
            behind = f"{of}, {count_of(folds * len(ratios), 'network')}"
            precision = column.parameters["fold_precision"]
            lines.append(
                f"{name}: {behind} in {precision}; {cscore.error_sentence(column, table.rows)}"
            )
            lacking = cscore.shortfall(column, table.rows)
            lines += [f"{name}: {spoken(lacking)}"] if lacking else []
    return lines


def class_table(selection: "Selection") -> Table | str:
    """The kept share of each class; the lowest SHOWN_CLASSES where there are more classes."""
    names = selection.rows.class_names
    shares = selection.class_shares()
    order = (
        range(len(names))
        if len(names) <= SHOWN_CLASSES
        else np.argsort(shares)[:SHOWN_CLASSES].tolist()
    )
    view = Table("class", "kept", "", box=None, header_style="bold")
    for number in order:
        share = shares[number]
        bar = "█" * round(20 * share) if not math.isnan(share) else "no training rows"
        view.add_row(Text(names[number]), f"{share:.0%}", Text(bar, style="cyan"))
    return view


def gone_sentence(gone: Mapping[str, int]) -> str:
    """Which classes keep no row, of `gone` with the numbers of their rows; "" if there are none."""
    names = list(gone)
    if len(names) < 2:
        return "".join(f"class {name} is gone: 0 of {gone[name]:,} kept" for name in names)
    left = len(names) - NAMED_CLASSES
    listed = [*names[:NAMED_CLASSES], f"{left} more"] if left > 1 else names
    total = sum(gone.values())
    return f"classes {', '.join(listed[:-1])} and {listed[-1]} are gone: 0 of {total:,} rows kept"


def outcome_table(outcomes: Outcomes) -> Table:
    """Accuracies side by side, with their spread and the paired differences."""
    view = Table(
        "trained on",
        "rows",
        "seeds",
        "test accuracy",
        "middle 2/3 of seeds",
        "minus full (95%)",
        "minus random (95%)",
        box=None,
        header_style="bold",
    )
    for line in outcomes.summaries():
        view.add_row(
            Text(line.name),
            f"{line.kept:,}",
            str(line.seeds),
            f"{100 * line.mean:.2f} %",
            f"{100 * line.low:.2f} to {100 * line.high:.2f}",
            difference(line.minus_full),
            difference(line.minus_random),
        )
    return view


def outcomes_json(outcomes: Outcomes) -> list[dict[str, Any]]:
    """The summary lines, as JSON values; accuracies are shares in [0, 1]."""
    return [
        {
            **vars(line),
            "minus_full": _interval(line.minus_full),
            "minus_random": _interval(line.minus_random),
        }
        for line in outcomes.summaries()
    ]


def listing(entries: Mapping[str, str]) -> Table:
    """Names, each with a line about it."""
    view = Table(box=None, show_header=False)
    for name, text in entries.items():
        view.add_row(Text(name, style="bold"), Text(text))
    return view


def path_of(path: Path) -> str:
    """A path relative to the current folder where it lies inside, otherwise as it is."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except (ValueError, OSError):  # it lies elsewhere, or the current folder has been removed
        return str(path)


def difference(difference: Difference | None) -> str:
    """A mean difference of accuracies in points, with its interval; empty for none."""
    if difference is None:
        return ""
    if math.isnan(difference.low):
        return signed(difference.mean)
    return f"{signed(difference.mean)} [{signed(difference.low)}, {signed(difference.high)}]"


def _interval(difference: Difference | None) -> dict[str, float] | None:
    return None if difference is None else vars(difference)
