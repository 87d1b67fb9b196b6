"""CSV that a spreadsheet program can open, and that comes back as it was."""

import csv

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prune_kit.storage.csv_files import csv_text, read_csv

NASTY = st.text(alphabet=st.sampled_from("=+-@\t\r\n'\",a1 ß."), max_size=6)


@given(st.lists(st.tuples(NASTY, NASTY), max_size=5))
def test_every_text_comes_back(
    tmp_path_factory: pytest.TempPathFactory, lines: list[tuple[str, str]]
) -> None:
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    path.write_bytes(csv_text([("id", "name"), *lines]).encode())
    assert [(line["id"], line["name"]) for line in read_csv(path)] == lines


@given(NASTY)
def test_no_cell_begins_as_a_formula_does(text: str) -> None:
    [cell, *_] = (
        next(csv.reader([csv_text([(text, "x")])]))
        if "\n" not in text and "\r" not in text
        else ("",)
    )
    if cell.startswith(("=", "+", "-", "@", "\t")):
        float(cell)


def test_numbers_stay_numbers() -> None:
    assert csv_text([(-1, "-1", "+2.5", 0.5, "-", "=1+1")]) == "-1,-1,+2.5,0.5,'-,'=1+1\n"
