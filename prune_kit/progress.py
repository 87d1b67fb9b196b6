"""How long work tells what it is doing, without knowing who listens (a terminal, a log, nobody)."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """One step of a long piece of work: `done` of `total` units of `what`; `note` says how it goes.

    `of` is how many such pieces there are in all, and `networks` how many networks this one trains,
    0 for other work. One that `is_note` is not work: it tells under the heading `what` how the work that
    follows is done.
    """

    what: str
    done: int
    total: int
    note: str = ""
    of: int = 1
    networks: int = 0
    is_note: bool = False


Listener = Callable[[Progress], None]


def note(heading: str, text: str) -> Progress:
    """A step that is no work, and is told once."""
    return Progress(heading, 1, 1, text, is_note=True)


def silent(_: Progress) -> None:
    """The listener that does not listen."""
