"""How long work tells what it is doing, without knowing who listens (a terminal, a log, nobody)."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """One step of a long piece of work: `done` of `total` units of `what`; `note` says how it goes.

    `of` is how many such pieces there are in all, and `networks` how many networks this one trains, 0 for other work.
    """

    what: str
    done: int
    total: int
    note: str = ""
    of: int = 1
    networks: int = 0


Listener = Callable[[Progress], None]


def nobody(_: Progress) -> None:
    """The listener that does not listen."""
