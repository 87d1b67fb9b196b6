"""Sections as one HTML page that needs nothing else, and as a folder of figures and tables.

Every text goes through `_text`; the page loads nothing, runs nothing, and a content policy in it
says so.
"""

import html
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from prune_kit.reporting import limits
from prune_kit.reporting.blocks import (
    LONGEST,
    Block,
    Cell,
    Commands,
    Gallery,
    Paragraph,
    Picture,
    Section,
    Table,
    visible,
)
from prune_kit.reporting.thumbnails import data_uri, thumbnail
from prune_kit.storage import files
from prune_kit.storage.csv_files import csv_text
from prune_kit.storage.provenance import version

LONG = 2000  # characters of a paragraph or of a value in a table
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --faint: #5c5c5c; --paper: #fff; --line: #d9d9d9; --link: #0b5c8f; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e8e8; --faint: #a8a8a8; --paper: #16181b; --line: #3c4045; --link: #7cc0ef; }
}
* { box-sizing: border-box; }
body { color: var(--ink); background: var(--paper); font: 16px/1.5 system-ui, sans-serif; margin: 0 auto;
  max-width: 62rem; padding: 1.5rem; }
h1, h2, h3, h4 { line-height: 1.25; overflow-wrap: anywhere; }
h2 { border-top: 1px solid var(--line); margin-top: 2.5rem; padding-top: 1.2rem; }
h4 { margin: 0.8rem 0 0.3rem; font-size: 0.9rem; }
a { color: var(--link); }
p, td:last-child, figcaption, li { overflow-wrap: anywhere; }
th { white-space: nowrap; }
figure { margin: 1.2rem 0; }
figure > img { background: #fff; border: 1px solid var(--line); border-radius: 4px; display: block; height: auto;
  max-width: 100%; padding: 6px; }
figcaption, .small { color: var(--faint); font-size: 0.85rem; }
table { border-collapse: collapse; font-size: 0.85rem; font-variant-numeric: tabular-nums;
  min-width: 16rem; }
caption { font-weight: 600; padding: 0.5rem 0; text-align: left; }
td, th { border-bottom: 1px solid var(--line); padding: 0.2rem 0.9rem 0.2rem 0; text-align: left; vertical-align: top; }
.wide { overflow-x: auto; margin: 1rem 0; }
.groups { display: grid; gap: 0 1.5rem; grid-template-columns: repeat(auto-fill, minmax(min(28rem, 100%), 1fr)); }
.groups.one { display: block; }
.cells { display: flex; flex-wrap: wrap; gap: 0.6rem 0.5rem; list-style: none; margin: 0; padding: 0; }
.cells li { font-size: 0.7rem; line-height: 1.3; width: 5.1rem; break-inside: avoid; }
.cells img { border: 1px solid var(--line); display: block; height: 64px; image-rendering: pixelated;
  object-fit: contain; width: 64px; }
.cells span { display: block; overflow-wrap: anywhere; }
pre { background: color-mix(in srgb, var(--ink) 6%, var(--paper)); overflow-x: auto; padding: 0.8rem;
  white-space: pre-wrap; overflow-wrap: anywhere; }
@media print {
  :root { --ink: #000; --faint: #333; --paper: #fff; --line: #bbb; --link: #000; }
  td { overflow-wrap: anywhere; }
  body { font-size: 11px; max-width: none; padding: 0; }
  figure, tr { break-inside: avoid; }
  h2, h3, h4, caption { break-after: avoid; }
}
"""
LIMITS = (
    f"To keep this page small it shows at most {limits.COLUMNS} score columns, {limits.BOXES} "
    f"classes in a figure, images of {limits.GALLERIES} classes at each end of a score, "
    f"{limits.EXAMPLES} classes of examples, {limits.SUSPECTS} suspects, {limits.TABLE_ROWS} rows "
    f"of a table, and images of at most 64 pixels a side, {limits.IMAGE_BYTES / 1e6:g} MB of them "
    "in all. prune-kit report --figures FOLDER writes the figures and the whole tables as files."
)


def html_of(sections: Sequence[Section], images: UInt8[np.ndarray, "N H W C"], title: str) -> str:
    """The page. `images` are those of the data, of which it shows small copies as long as there is room."""
    sources = _sources(sections, images)
    contents = "".join(
        f'<li><a href="#{_text(s.anchor)}">{_text(s.title)}</a></li>\n' for s in sections
    )
    body = "".join(_section(section, sources) for section in sections)
    name = _text(f"prune-kit report: {title}")
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_text(POLICY)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{name}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{name}</h1>\n"
        f'<nav aria-label="Contents"><ol>\n{contents}</ol></nav>\n<main>\n{body}</main>\n'
        f'<footer class="small"><p>Made by prune_kit {_text(version())}. {_text(LIMITS, LONG)}</p></footer>\n'
        "</body>\n</html>\n"
    )


def write_parts(sections: Sequence[Section], folder: Path) -> list[Path]:
    """Write every figure as PNG and SVG and every table as CSV; the paths. Raises FileError."""
    written = []
    for block in (block for section in sections for block in section.blocks):
        if isinstance(block, Picture):
            for format in ("png", "svg"):
                written.append(folder / f"{block.name}.{format}")
                files.write_bytes(written[-1], block.draw(format))
        elif isinstance(block, Table):
            written.append(folder / f"{block.name}.csv")
            files.write_bytes(
                written[-1], csv_text([block.header, *block.rows]).encode("utf-8", "replace")
            )
    return written


def _sources(sections: Sequence[Section], images: np.ndarray) -> Iterator[str | None]:
    """The source of each image in the order of the page; None from where IMAGE_BYTES are used up."""
    made: dict[int, str] = {}
    room = limits.IMAGE_BYTES
    for block in (block for section in sections for block in section.blocks):
        for cell in (
            (cell for _, cells in block.groups for cell in cells)
            if isinstance(block, Gallery)
            else ()
        ):
            if cell.row not in made and room > 0:
                made[cell.row] = thumbnail(images[cell.row])
            room -= len(made.get(cell.row, ""))
            yield made[cell.row] if room >= 0 else None


def _section(section: Section, sources: Iterator[str | None]) -> str:
    blocks = "".join(_block(block, sources) for block in section.blocks)
    return f'<section id="{_text(section.anchor)}">\n<h2>{_text(section.title)}</h2>\n{blocks}</section>\n'


def _block(block: Block, sources: Iterator[str | None]) -> str:
    match block:
        case Paragraph():
            return f"<p>{_text(block.text, LONG)}</p>\n"
        case Commands():
            return "<pre><code>{}</code></pre>\n".format(
                "\n".join(_text(line, LONG) for line in block.lines)
            )
        case Table():
            return _table(block)
        case Picture():
            return _picture(block)
        case Gallery():
            return _gallery(block, sources)


def _picture(block: Picture) -> str:
    source = (
        data_uri(block.draw("svg"), "svg+xml")
        if block.vector
        else data_uri(block.draw("png"), "png")
    )
    alt = _text(f"{block.finding}. {block.reading}", LONG)
    return (
        f'<figure id="{_text(block.name)}-figure"><img src="{source}" alt="{alt}">\n'
        f"<figcaption>{_text(block.reading, LONG)}</figcaption></figure>\n"
    )


def _table(block: Table) -> str:
    header = "".join(f'<th scope="col">{_text(word)}</th>' for word in block.header)
    rows = "\n".join(
        "<tr>" + "".join(f"<td>{_text(word, LONG)}</td>" for word in row) + "</tr>"
        for row in block.rows[: limits.TABLE_ROWS]
    )
    left_out = len(block.rows) - limits.TABLE_ROWS
    more = (
        f'<p class="small">{left_out:,} more rows are left out here.</p>\n' if left_out > 0 else ""
    )
    return (
        f'<div class="wide"><table><caption>{_text(block.title)}</caption>\n'
        f"<thead><tr>{header}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>\n{more}"
    )


def _gallery(block: Gallery, sources: Iterator[str | None]) -> str:
    parts = []
    for heading, cells in block.groups:
        items = "".join(_cell(cell, next(sources)) for cell in cells)
        above = f"<h4>{_text(heading)}</h4>\n" if heading else ""
        parts.append(f'<div>{above}<ul class="cells">\n{items}</ul></div>\n')
    kind = "groups" if len(parts) > 1 else "groups one"
    return f'<h3>{_text(block.title)}</h3>\n<div class="{kind}">\n{"".join(parts)}</div>\n'


def _cell(cell: Cell, source: str | None) -> str:
    lines = "".join(f"<span><bdi>{_text(line, 60)}</bdi></span>" for line in cell.lines)
    if source is None:
        return f"<li>{lines}<span>(no room for the image)</span></li>\n"
    alt = _text(f"row {cell.row}: {', '.join(visible(line, 60) for line in cell.lines)}", LONG)
    return f'<li><img src="{source}" alt="{alt}">{lines}</li>\n'


def _text(text: str, longest: int = LONGEST) -> str:
    """Text that is safe between tags and inside quotes, with nothing hidden in it."""
    return html.escape(visible(text, longest), quote=True)
