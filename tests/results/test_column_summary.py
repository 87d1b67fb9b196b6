"""A column told in a line: against numpy, and from the file against the values."""

import dataclasses

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from prune_kit.data.identity import HELD_OUT
from prune_kit.errors import FileError
from prune_kit.results.column_summary import SHOWN_EXAMPLES, read_summary, summary_of
from prune_kit.results.table import ScoreTable
from tests.small_tables import table_of

SCORES = arrays(
    np.float32, st.integers(1, 30), elements=st.one_of(st.just(np.nan), st.floats(-2, 2, width=32))
)


@given(SCORES, st.sampled_from(["higher", "lower"]), st.data())
def test_a_summary_is_what_numpy_says_of_the_training_rows_with_a_score(values, harder, data):
    rows = table_of(values.tolist()).rows
    rows.role[:] = data.draw(arrays(np.uint8, len(values), elements=st.integers(0, HELD_OUT)))
    found = summary_of(values, harder, rows)
    drawn = np.flatnonzero((rows.role != HELD_OUT) & ~np.isnan(values))
    if not len(drawn):
        assert np.isnan([found.easiest, found.median, found.hardest]).all() and not len(
            found.examples
        )
        return
    sign = 1 if harder == "higher" else -1
    order = drawn[np.lexsort((rows.digest[drawn], sign * values[drawn]))]
    assert (found.easiest, found.hardest) == (values[order[0]], values[order[-1]])
    assert found.median == pytest.approx(np.median(values[drawn].astype(np.float64)))
    assert found.examples.tolist() == order[::-1][:SHOWN_EXAMPLES].tolist()


@pytest.fixture
def path(tmp_path):
    table_of([0.5, 0.25, np.nan, 1.0, 0.125]).write(tmp_path / "scores.h5")
    return tmp_path / "scores.h5"


def test_at_a_glance_the_written_summary_is_told_and_no_score_is_read(path):
    glanced, whole = ScoreTable.read(path, glance=True), ScoreTable.read(path)
    column = glanced.column()
    assert isinstance(column.values.base, np.memmap) and whole.column().summary is None
    for name, value in dataclasses.asdict(glanced.summary()).items():
        np.testing.assert_array_equal(value, getattr(whole.summary(), name))


def test_a_table_of_an_earlier_version_is_summed_up_from_its_values(path):
    expected = ScoreTable.read(path).summary()
    with h5py.File(path, "r+") as file:
        for column in file["scores"].values():
            del column.attrs["summary"]
    assert ScoreTable.read(path, glance=True).summary().hardest == expected.hardest


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("summary", np.zeros(2)),
        ("summary", "three numbers"),
        ("hardest_rows", np.array([0, 5])),
        ("hardest_rows", np.array([-1])),
        ("hardest_rows", np.array([0.5])),
        ("hardest_rows", h5py.Empty("f8")),
    ],
)
def test_an_impossible_summary_is_refused(path, name, value):
    with h5py.File(path, "r+") as file:
        dataset = next(iter(file["scores"].values()))
        dataset.attrs[name] = value
        with pytest.raises(FileError, match="damaged: the summary of"):
            read_summary(dataset)
