"""Progress of long work, reported to a listener: a terminal, a log, or nothing."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """One step of a long piece of work: `done` of `total` units of `what`.

    `note` adds a remark. `of` is the number of such pieces, and `networks` the number of networks
    that this one trains, 0 for other work. A step with `is_note` is not work. Its heading is
    `what`, and its `note` says how the following work is done.
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
    """A step that is not work, but says something about it.

    Parameters
    ----------
    heading
        What it is about.
    text
        What it says.

    Returns
    -------
    Progress
        The step.
    """
    return Progress(heading, 1, 1, text, is_note=True)


def silent(_: Progress) -> None:
    """The listener that does nothing."""
