"""Sections as one HTML page that needs nothing else, and as a folder of figures and tables.

The page is the template page.html.j2. jinja2 escapes every text in it.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from prune_kit.reporting import limits
from prune_kit.reporting.blocks import Block, Gallery, Picture, Section, Table, visible
from prune_kit.reporting.thumbnails import SIDE, data_uri, thumbnail
from prune_kit.storage import files
from prune_kit.storage.csv_files import csv_text
from prune_kit.storage.provenance import version

LONG = 2000  # characters of a paragraph or of a value in a table
LIMITS = (
    f"To keep this page small it shows at most {limits.COLUMNS} score columns, {limits.BOXES} "
    f"classes in a figure, images of {limits.GALLERIES} classes at each end of a score, "
    f"{limits.EXAMPLES} classes of examples, {limits.SUSPECTS} suspects, {limits.TABLE_ROWS} rows "
    f"of a table, and images of at most {SIDE} pixels a side, {limits.IMAGE_BYTES / 1e6:g} MB of "
    "them in all. prune-kit report --figures FOLDER writes the figures and the whole tables as "
    "files."
)


def html_of(sections: Sequence[Section], images: UInt8[np.ndarray, "N H W C"], title: str) -> str:
    """The page as the text of one HTML file.

    Parameters
    ----------
    sections
        What the page shows, in order.
    images
        The images of the data. The page holds small copies of some, as long as there is room.
    title
        The name of the data, for the heading.
    """
    page = _environment().get_template("page.html.j2")
    return page.render(
        name=f"prune-kit report: {title}",
        sections=sections,
        next_source=_sources(sections, images).__next__,
        table_rows=limits.TABLE_ROWS,
        limits=LIMITS,
        version=version(),
    )


def write_parts(sections: Sequence[Section], folder: Path) -> list[Path]:
    """Write every figure as PNG and SVG, and every table as CSV.

    Returns
    -------
    list of Path
        The files that were written.

    Raises
    ------
    FileError
        A file cannot be written.
    """
    contents: dict[Path, bytes] = {}
    for block in _blocks(sections):
        if isinstance(block, Picture):
            for format in ("png", "svg"):
                contents[folder / f"{block.name}.{format}"] = block.draw(format)
        elif isinstance(block, Table):
            text = csv_text([block.header, *block.rows])
            contents[folder / f"{block.name}.csv"] = text.encode("utf-8", "replace")
    for path, content in contents.items():
        files.write_bytes(path, content)
    return list(contents)


def _sources(sections: Sequence[Section], images: np.ndarray) -> Iterator[Markup | None]:
    """The source of each image in the order of the page; None once IMAGE_BYTES are used up."""
    thumbnails: dict[int, Markup] = {}
    room = limits.IMAGE_BYTES
    galleries = (block for block in _blocks(sections) if isinstance(block, Gallery))
    for tile in (tile for gallery in galleries for _, tiles in gallery.groups for tile in tiles):
        if tile.row not in thumbnails and room > 0:
            thumbnails[tile.row] = Markup(thumbnail(images[tile.row]))
        room -= len(thumbnails.get(tile.row, ""))
        yield thumbnails[tile.row] if room >= 0 else None


def _blocks(sections: Sequence[Section]) -> Iterator[Block]:
    return (block for section in sections for block in section.blocks)


def _environment() -> Environment:
    """The settings of the template: every expression is made visible, cut to LONG, and escaped.

    The exception is Markup, which only this module and the template itself make.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: value if isinstance(value, Markup) else visible(value, LONG),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"short": visible, "kind": _kind, "figure_uri": _figure_uri}
    return environment


def _kind(block: Block) -> str:
    return type(block).__name__


def _figure_uri(block: Picture) -> Markup:
    format, kind = ("svg", "svg+xml") if block.vector else ("png", "png")
    return Markup(data_uri(block.draw(format), kind))
