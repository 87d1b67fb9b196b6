"""Everything that is printed. Results go to stdout, notes and progress to stderr."""

import json
import math
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from prune_kit.outcomes import Difference, Outcomes
from prune_kit.progress import Progress
from prune_kit.selection import Selection
from prune_kit.table import ScoreTable

LABEL_WIDTH = 10
SHOWN_CLASSES = 20


@dataclass(frozen=True)
class Screen:
    """Where the words go: `as_json` keeps stdout for one object, `quiet` keeps stderr for errors."""

    as_json: bool
    quiet: bool

    def note(self, label: str, text: str) -> None:
        """A line on stderr: what is being done, with what."""
        if not self.quiet:
            _stderr().print(Text(f"{label:<{LABEL_WIDTH}}", style="dim").append(text, style="not dim"), soft_wrap=True)

    def trained(self, networks: int) -> None:
        """How many networks a verb had to train."""
        self.note("trained", _count(networks, "network") if networks else "nothing: every run that this needs is there")

    def warn(self, text: str) -> None:
        """A line on stderr that should be read."""
        if not self.quiet:
            _stderr().print(
                Text(f"{'note':<{LABEL_WIDTH}}", style="yellow").append(text, style="not yellow"), soft_wrap=True
            )

    def result(self, value: Mapping[str, Any], *shown: Any) -> None:
        """The result on stdout: as JSON, or as the tables and lines `shown`."""
        if self.as_json:
            sys.stdout.write(json.dumps(_plain(value)) + "\n")
        elif not self.quiet:
            console = Console(highlight=False)
            if not console.is_terminal:
                console = Console(highlight=False, width=120)
            for item in shown:
                console.print(item, soft_wrap=isinstance(item, str | Text), markup=False)

    @contextmanager
    def progress(self) -> "Iterator[Follower]":
        """A listener for long work: bars on a terminal, one line per finished item elsewhere."""
        console = _stderr()
        if self.quiet:
            yield Follower(lambda _: None)
        elif console.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                TaskProgressColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}", style="dim"),
            )
            with Bars(*columns, console=console, transient=True) as bars:
                yield Follower(_bars(bars, self))
        else:
            yield Follower(_lines(self))


class Follower:
    """A listener that also counts the networks that were finished while it listened."""

    def __init__(self, show: Callable[[Progress], None]) -> None:
        self.show = show
        self.networks = 0

    def __call__(self, step: Progress) -> None:
        self.networks += step.what.startswith("network") and step.done == step.total
        self.show(step)


def error_line(message: str) -> None:
    """The one line on stderr that an error gets."""
    _stderr().print(Text("error: ", style="bold red").append(message, style="not bold default"), soft_wrap=True)


def score_table(table: ScoreTable, names: list[str]) -> Table:
    """A line per column: its range over the training rows, and the examples at its hard end."""
    view = Table(
        "column", "easiest", "median", "hardest", "runs", "the hardest examples (id)", box=None, header_style="bold"
    )
    rows = table.rows.training
    for name in names:
        column = table.columns[name]
        values = column.values[rows]
        order = rows[np.lexsort((table.rows.digest[rows], -table.hardness(name)[rows]))][:3]
        ends = np.nanmin(values), np.nanmax(values)
        easiest, most = ends if column.harder == "higher" else ends[::-1]
        hardest = ", ".join(table.rows.id[row].decode("utf-8") for row in order)
        numbers = (f"{value:.4g}" for value in (easiest, np.nanmedian(values), most))
        view.add_row(name, *numbers, str(column.runs or "-"), Text(hardest))
    return view


def class_table(selection: Selection) -> Table | str:
    """The share kept per class, for up to SHOWN_CLASSES classes, lowest first where there are more."""
    names, shares = selection.rows.class_names, selection.class_shares()
    order = range(len(names)) if len(names) <= SHOWN_CLASSES else np.argsort(shares)[:SHOWN_CLASSES].tolist()
    view = Table("class", "kept", "", box=None, header_style="bold")
    for number in order:
        share = shares[number]
        bar = "█" * round(20 * share) if not math.isnan(share) else "no training rows"
        view.add_row(Text(names[number]), f"{share:.0%}", Text(bar, style="cyan"))
    return view


def outcome_table(outcomes: Outcomes) -> Table:
    """Accuracies side by side, with their spread and the paired differences."""
    view = Table(
        "trained on", "rows", "seeds", "test accuracy", "16th to 84th", "minus full (95%)", "minus random (95%)",
        box=None, header_style="bold",
    )  # fmt: skip
    for line in outcomes.summaries():
        view.add_row(
            Text(line.name),
            f"{line.kept:,}",
            str(line.seeds),
            f"{100 * line.mean:.2f} %",
            f"{100 * line.low:.2f} to {100 * line.high:.2f}",
            _difference(line.minus_full),
            _difference(line.minus_random),
        )
    return view


def outcome_sentence(outcomes: Outcomes) -> list[str]:
    """For each selection, what the numbers say in words."""
    sentences = []
    for line in outcomes.summaries():
        parts = []
        for difference, other in ((line.minus_full, "full data"), (line.minus_random, "a random subset of its size")):
            if difference is None or line.name.startswith("random-"):
                continue
            if math.isnan(difference.low):
                parts.append(f"{_points(difference.mean)} against {other} (no interval)")
            elif difference.verdict == "not distinguishable":
                parts.append(f"not distinguishable from {other}")
            else:
                parts.append(f"{difference.verdict} {other} by {abs(100 * difference.mean):.2f} points")
        if parts:
            sentences.append(f"{line.name}: {', '.join(parts)}, over {_count(line.seeds, 'seed')}.")
    return sentences


def outcomes_json(outcomes: Outcomes) -> list[dict[str, Any]]:
    """The summary lines as JSON values; accuracies are shares in [0, 1]."""
    return [
        {**vars(line), "minus_full": _interval(line.minus_full), "minus_random": _interval(line.minus_random)}
        for line in outcomes.summaries()
    ]


def listing(entries: Mapping[str, str]) -> Table:
    """Names with a line about each."""
    view = Table(box=None, show_header=False)
    for name, text in entries.items():
        view.add_row(Text(name, style="bold"), Text(text))
    return view


def path_of(path: Path) -> str:
    """A path as short as it can be said from here."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _lines(screen: Screen) -> Callable[[Progress], None]:
    """One line per finished piece, with the time that is left for the others of its kind."""
    started: dict[int, float] = {}  # when the first sign of a kind of pieces came, by how many of them there are
    finished: Counter[int] = Counter()

    def show(step: Progress) -> None:
        since = started.setdefault(step.of, time.monotonic())
        if step.done == step.total:
            finished[step.of] += 1
            left = (time.monotonic() - since) / finished[step.of] * (step.of - finished[step.of])
            ending = f"; about {left:.0f} s left" if step.of > 1 and left >= 1 else ""
            screen.note("", f"{step.what}: {step.note or 'done'}{ending}")

    return show


def _bars(bars: Bars, screen: Screen) -> Callable[[Progress], None]:
    """A bar per piece in work, and one for all of them, whose time left is that of the whole."""
    tasks: dict[str, TaskID] = {}
    shares: dict[str, float] = {}
    whole: list[TaskID] = []

    def show(step: Progress) -> None:
        if step.of > 1:
            shares[step.what] = step.done / step.total
            if not whole:
                whole.append(bars.add_task("all", total=step.of, note=""))
            bars.update(whole[0], completed=sum(shares.values()), total=step.of)
        if step.done == step.total:
            if step.what in tasks:
                bars.remove_task(tasks.pop(step.what))
            if step.note:
                screen.note("", f"{step.what}: {step.note}")
            return
        if step.what not in tasks:
            tasks[step.what] = bars.add_task(escape(step.what), total=step.total, note="")
        bars.update(tasks[step.what], completed=step.done, note=escape(step.note))

    return show


def _difference(difference: Difference | None) -> str:
    if difference is None:
        return ""
    if math.isnan(difference.low):
        return _points(difference.mean)
    return f"{_points(difference.mean)} [{100 * difference.low:+.2f}, {100 * difference.high:+.2f}]"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + "s" * (number != 1)


def _points(share: float) -> str:
    return f"{100 * share:+.2f}"


def _interval(difference: Difference | None) -> dict[str, float] | None:
    return None if difference is None else vars(difference)


def _plain(value: Any) -> Any:
    """JSON values: arrays to lists, paths to text, NaN (which JSON lacks) to null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic | np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, Path):
        return str(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


@cache
def _stderr() -> Console:
    """One console for notes and bars, so that a note never tears a bar."""
    return Console(stderr=True, highlight=False)
