"""CSV files that are safe in a spreadsheet program, whatever the names in them are.

Such a program would run a text that begins with =, +, -, @, a tab or a carriage return and is not
a number. It is written behind an apostrophe, as OWASP advises
(https://owasp.org/www-community/attacks/CSV_Injection). Reading removes the apostrophe.
"""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

FORMULA = re.compile(r"'*[=+\-@\t\r]")
ESCAPED = re.compile(r"'+[=+\-@\t\r]")


def csv_text(lines: Iterable[Sequence[object]]) -> str:
    """The text of a CSV file with these lines. The first line is the header."""
    text = io.StringIO()
    plain = csv.writer(text, lineterminator="\n")
    # without quotes, a lone \r would end a line
    quoted = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for line in lines:
        cells = [_escaped(cell) if isinstance(cell, str) else cell for cell in line]
        split = any(isinstance(cell, str) and "\r" in cell for cell in cells)
        (quoted if split else plain).writerow(cells)
    return text.getvalue()


def read_csv(path: Path) -> list[dict[str, str]]:
    """The lines of a CSV file, each by the names of the columns.

    Raises
    ------
    OSError, ValueError, csv.Error
        The file cannot be read.
    """
    # utf-8-sig, because Excel writes a mark before the first word
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = list(csv.DictReader(file))
    return [
        {
            name: text[1:] if isinstance(text, str) and ESCAPED.match(text) else text
            for name, text in line.items()
        }
        for line in lines
    ]


def _escaped(text: str) -> str:
    return f"'{text}" if FORMULA.match(text) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text == text.strip()
