"""The parts of a report before it is HTML: sections of paragraphs, pictures, tables, galleries."""

from collections.abc import Callable
from dataclasses import dataclass

from prune_kit.reporting.escaping import spelled_out

LONGEST = 120  # characters of a name, an id or a label; longer ones end in an ellipsis


@dataclass(frozen=True)
class Paragraph:
    """A few sentences of text."""

    text: str


@dataclass(frozen=True)
class Picture:
    """A figure.

    Parameters
    ----------
    name
        The name of its files, without a suffix.
    title
        What the figure shows. It stands in the figure.
    caption
        How to read the figure. It stands below.
    draw
        Draws the figure, as "png" or "svg".
    vector
        Whether the page shows the SVG. A large SVG is left to `write_parts`.
    """

    name: str
    title: str
    caption: str
    draw: Callable[[str], bytes]
    vector: bool = True


@dataclass(frozen=True)
class Table:
    """A table of texts.

    Parameters
    ----------
    name
        The name of its CSV file, without the suffix.
    title
        The heading of the table.
    header
        The names of the columns.
    rows
        The rows. The file holds all, and the page the first limits.TABLE_ROWS.
    """

    name: str
    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Tile:
    """An image of the data, by its row, and the lines of text below it."""

    row: int
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Gallery:
    """Images in groups. A group has a heading, which may be empty."""

    title: str
    groups: tuple[tuple[str, tuple[Tile, ...]], ...]


@dataclass(frozen=True)
class Commands:
    """Command lines."""

    lines: tuple[str, ...]


Block = Paragraph | Picture | Table | Gallery | Commands


@dataclass(frozen=True)
class Section:
    """A heading with an anchor for links, and the blocks below it."""

    anchor: str
    title: str
    blocks: tuple[Block, ...]


def visible(text: object, longest: int = LONGEST) -> str:
    """Any value as text in which no character is hidden.

    Control characters, and marks that change the direction of the text, are spelled out. A text of
    more than `longest` characters ends in an ellipsis.
    """
    whole = str(text)
    whole = whole if len(whole) <= longest else whole[: longest - 1] + "…"
    return spelled_out(whole)


def id_of(identity: bytes) -> str:
    """The id of a row as text."""
    return identity.decode("utf-8", "replace")
