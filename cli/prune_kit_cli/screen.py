"""Where words go: results to stdout, notes and progress to stderr."""

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
from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook
from rich.markup import escape
from rich.progress import BarColumn, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.segment import Segment
from rich.text import Text

from prune_kit.progress import Progress
from prune_kit.reporting.escaping import spelled_out
from prune_kit_cli.wording import spoken

LABEL_WIDTH = 10
MOST_LINES = 20
SILENCE = 30.0  # seconds without a line in a log before work says how far it is

Show = Callable[[Progress], None]


@dataclass(frozen=True)
class Screen:
    """Where words go: `as_json` keeps stdout for one object, `quiet` keeps stderr for errors."""

    as_json: bool
    quiet: bool

    def note(self, label: str, text: str) -> None:
        """A line on stderr: what is being done, with what."""
        self._line(label, text, "dim")

    def trained(self, networks: int) -> None:
        """How many networks a verb had to train."""
        self.note(
            "trained",
            count_of(networks, "network")
            if networks
            else "nothing: every run that this needs is there",
        )

    def warn(self, text: str) -> None:
        """A line on stderr that should be read."""
        self._line("note", text, "yellow")

    def _line(self, label: str, text: str, style: str) -> None:
        if not self.quiet:
            line = Text(f"{label:<{LABEL_WIDTH}}", style=style)
            _stderr().print(line.append(spoken(text), style=f"not {style}"), soft_wrap=True)

    def result(self, value: Mapping[str, Any], *shown: Any) -> None:
        """The result on stdout: as JSON, or as the tables and lines `shown`."""
        if self.as_json:
            sys.stdout.write(json.dumps(_plain(value)) + "\n")
        elif not self.quiet:
            console = _console()
            if not console.is_terminal:
                console = _console(width=120)
            for item in shown:
                console.print(item, soft_wrap=isinstance(item, str | Text), markup=False)

    @contextmanager
    def progress(self) -> "Iterator[ProgressCounter]":
        """A listener for long work: bars on a terminal, one line per finished item elsewhere."""
        console = _stderr()
        if self.quiet:
            yield ProgressCounter(self, lambda _: None)
        elif console.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                TaskProgressColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}", style="dim"),
            )
            with Bars(*columns, console=console, transient=True) as bars:
                yield ProgressCounter(self, _bars(bars, self))
        else:
            yield ProgressCounter(self, _lines(self))


class ProgressCounter:
    """A listener that also counts the networks that were finished while it listened."""

    def __init__(self, screen: Screen, show: Show) -> None:
        self.screen, self.show = screen, show
        self.networks = 0
        self.told: dict[str, str] = {}  # the last note under each heading: it is not repeated

    def __call__(self, step: Progress) -> None:
        self.networks += step.networks * (step.done == step.total)
        if not step.is_note:
            self.show(step)
        elif self.told.get(step.what) != step.note:
            self.told[step.what] = step.note
            self.screen.note(step.what, step.note)


def error_line(message: str) -> None:
    """The one line on stderr that an error gets."""
    _stderr().print(
        Text("error: ", style="bold red").append(message, style="not bold default"), soft_wrap=True
    )


def _lines(screen: Screen, clock: Callable[[], float] = time.monotonic) -> Show:
    """One line per finished piece, and one every SILENCE seconds in between, with the time left."""
    started: dict[int, tuple[float, float]] = {}  # of each kind of pieces: when, and how far it was
    finished: Counter[int] = Counter()
    shares: dict[str, float] = {}  # of the pieces in work
    told = clock()

    def show(step: Progress) -> None:
        nonlocal told
        now = clock()
        if step.done == step.total:
            finished[step.of] += 1
            shares.pop(step.what, None)
        else:
            shares[step.what] = step.done / step.total
        whole = finished[step.of] + sum(shares.values())
        since, before = started.setdefault(step.of, (now, whole))
        left = (now - since) / (whole - before) * (step.of - whole) if whole > before else 0.0
        ending = f"; {_time_left(left)}" if left >= 1 else ""
        if step.done < step.total:
            if now - told >= SILENCE:
                told = now
                note = f", {step.note}" if step.note else ""
                screen.note("", f"{step.what}: {step.done:,} of {step.total:,}{note}{ending}")
            return
        if _worth_a_line(finished[step.of], step.of):
            told = now
            ending = ending if step.of > 1 else ""
            screen.note("", f"{step.what}: {step.note or 'done'}{ending}")
        if finished[step.of] == step.of:  # a later round may have as many
            del started[step.of], finished[step.of]

    return show


def _time_left(seconds: float) -> str:
    """How long work still takes, in the unit in which one waits for it."""
    if seconds < 120:
        return f"about {seconds:.0f} s left"
    if seconds < 7200:
        return f"about {seconds / 60:.0f} minutes left"
    return f"about {seconds / 3600:.1f} hours left"


def _worth_a_line(finished: int, of: int) -> bool:
    """Of many pieces only some are told, the first and the last among them."""
    return finished in (1, of) or finished % max(of // MOST_LINES, 1) == 0


def _bars(bars: Bars, screen: Screen) -> Show:
    """A bar per piece in work, and one for all of them, whose time left is that of the whole."""
    tasks: dict[str, TaskID] = {}
    shares: dict[str, float] = {}
    finished: Counter[int] = Counter()
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
            finished[step.of] += 1
            if step.note and _worth_a_line(finished[step.of], step.of):
                screen.note("", f"{step.what}: {step.note}")
            if finished[step.of] == step.of:  # a later round may have as many
                del finished[step.of]
                shares.clear()
                while whole:
                    bars.remove_task(whole.pop())
            return
        if step.what not in tasks:
            tasks[step.what] = bars.add_task(escape(step.what), total=step.total, note="")
        bars.update(tasks[step.what], completed=step.done, note=escape(step.note))

    return show


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
    return _console(stderr=True)


def _console(**options: Any) -> Console:
    """A console that spells out the control characters in names that strangers chose."""
    console = Console(highlight=False, **options)
    console.push_render_hook(_SpelledOut())
    return console


class _SpelledOut(RenderHook):
    """What rich asks before it prints."""

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Harmless(renderable) for renderable in renderables]


@dataclass(frozen=True)
class _Harmless:
    """Something to print, without what its text would do to a terminal.

    Rich's own controls and colours are kept.
    """

    inner: ConsoleRenderable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        for text, style, control in console.render(self.inner, options):
            yield Segment(text if control else spelled_out(text, lines=True), style, control)


def count_of(number: int, noun: str) -> str:
    """`1 network`, `2 networks`."""
    return f"{number:,} {noun}" + "s" * (number != 1)
