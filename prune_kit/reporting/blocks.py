"""What a report is made of, before it is HTML: sections of paragraphs, pictures, tables and galleries."""

from collections.abc import Callable
from dataclasses import dataclass

from prune_kit.reporting.escaping import spelled_out

LONGEST = 120  # characters of a name, an id or a label; longer ones end in an ellipsis


@dataclass(frozen=True)
class Paragraph:
    """A few sentences."""

    text: str


@dataclass(frozen=True)
class Picture:
    """A figure. `draw` makes it, as "png" or "svg"; `finding` is its title, `reading` says how to read it.

    `vector` is False where its SVG would be large: the page then takes the PNG. `name` is that of
    its files.
    """

    name: str
    finding: str
    reading: str
    draw: Callable[[str], bytes]
    vector: bool = True


@dataclass(frozen=True)
class Table:
    """Rows of text under a header. `name` is that of its CSV file, which holds all `rows`; the page shows the first."""

    name: str
    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Cell:
    """An image of the data, by its row number, with the lines of its caption."""

    row: int
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Gallery:
    """Images in groups, each group under a heading."""

    title: str
    groups: tuple[tuple[str, tuple[Cell, ...]], ...]


@dataclass(frozen=True)
class Commands:
    """Command lines."""

    lines: tuple[str, ...]


Block = Paragraph | Picture | Table | Gallery | Commands


@dataclass(frozen=True)
class Section:
    """A heading with an anchor, and what stands under it."""

    anchor: str
    title: str
    blocks: tuple[Block, ...]


def visible(text: object, longest: int = LONGEST) -> str:
    """Text in which nothing is hidden: control characters and marks that turn the line around are spelled out.

    What is longer than `longest` characters ends in an ellipsis.
    """
    whole = str(text)
    whole = whole if len(whole) <= longest else whole[: longest - 1] + "…"
    return spelled_out(whole)


def id_of(identity: bytes) -> str:
    """The id of a row as text."""
    return identity.decode("utf-8", "replace")
