"""How long work tells what it is doing, without knowing who listens (a terminal, a log, nobody)."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """One step of a long piece of work: `done` of `total` units of `what`; `note` says how it goes.

    `of` is how many such pieces there are in all, and `networks` how many networks this one trains,
    0 for other work. A `remark` is no work: it tells under the heading `what` how the work that
    follows is done.
    """

    what: str
    done: int
    total: int
    note: str = ""
    of: int = 1
    networks: int = 0
    remark: bool = False


Listener = Callable[[Progress], None]


def remark(heading: str, text: str) -> Progress:
    """A step that is no work, and is told once."""
    return Progress(heading, 1, 1, text, remark=True)


def nobody(_: Progress) -> None:
    """The listener that does not listen."""
