"""The few probabilities that a file keeps of many classes."""

from dataclasses import replace

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prune_kit.errors import FileError
from prune_kit.results.table import ScoreTable
from prune_kit.results.top_probabilities import KEPT, dense, packed
from tests.small_tables import table_of


def drawn(
    count: int, classes: int, seed: int, sharpness: float = 3.0
) -> tuple[np.ndarray, np.ndarray]:
    chance = np.random.default_rng(seed)
    scores = np.exp(sharpness * chance.normal(size=(count, classes)))
    return (scores / scores.sum(axis=1, keepdims=True)).astype(np.float16), chance.integers(
        0, classes, count
    )


@given(count=st.integers(0, 12), classes=st.integers(KEPT + 1, 30), seed=st.integers(0, 1000))
def test_the_largest_and_the_labels_own_come_back_as_they_were(
    count: int, classes: int, seed: int
) -> None:
    probability, label = drawn(count, classes, seed)
    values, kept = packed(probability, label)
    back = dense(values, kept, classes)
    for row in range(count):
        largest = sorted(range(classes), key=lambda c: (-probability[row, c], c))[: KEPT - 1]
        assert sorted(values[row, : KEPT - 1], reverse=True) == [
            probability[row, c] for c in largest
        ]
        assert label[row] in kept[row] and len(set(kept[row])) == KEPT
        assert all(back[row, c] == probability[row, c] for c in kept[row])
        others = np.delete(back[row], kept[row])
        assert len(set(others.tolist())) == 1 and others[0] <= 1
    np.testing.assert_allclose(back.sum(axis=1, dtype=np.float64), 1, atol=5e-3)


def test_rows_without_probabilities_stay_without() -> None:
    probability, label = drawn(3, 8, 0)
    probability[1] = np.nan
    back = dense(*packed(probability, label), 8)
    assert np.isnan(back).all(axis=1).tolist() == [False, True, False]


def many(classes: int) -> ScoreTable:
    probability, label = drawn(40, classes, 1)
    table = table_of(np.arange(40))
    names = tuple(f"c{number}" for number in range(classes))
    column = replace(table.column(), extras={"probability": probability})
    return replace(table, rows=replace(table.rows, label=label, class_names=names)).with_columns(
        [column]
    )


@pytest.mark.parametrize(("classes", "width"), [(100, 100), (101, KEPT), (400, KEPT)])
def test_a_file_keeps_few_of_more_than_a_hundred(tmp_path, classes: int, width: int) -> None:
    table = many(classes)
    table.write(tmp_path / "scores.h5")
    with h5py.File(tmp_path / "scores.h5") as file:
        assert file["probability/el2n@20"].shape == (40, width)
        assert ("probability_class" in file) == (width == KEPT)
    before = table.column().extras["probability"]
    after = ScoreTable.read(tmp_path / "scores.h5").column().extras["probability"]
    assert after.shape == (40, classes) and after.dtype == np.float16
    np.testing.assert_array_equal(after.argmax(axis=1), before.argmax(axis=1))
    rows = np.arange(40)
    np.testing.assert_array_equal(after[rows, table.rows.label], before[rows, table.rows.label])
    assert ScoreTable.read(tmp_path / "scores.h5", extras=False).column().extras == {}
    ScoreTable.read(tmp_path / "scores.h5").write(
        tmp_path / "again.h5"
    )  # what was few stays the same few
    twice = ScoreTable.read(tmp_path / "again.h5").column().extras["probability"]
    np.testing.assert_array_equal(twice, after)


def test_classes_that_there_are_not_are_refused(tmp_path) -> None:
    many(101).write(tmp_path / "scores.h5")
    with h5py.File(tmp_path / "scores.h5", "r+") as file:
        file["probability_class/el2n@20"][3, 2] = 101
    with pytest.raises(
        FileError, match="is damaged: probability_class/el2n@20 are not classes of its 101"
    ):
        ScoreTable.read(tmp_path / "scores.h5")
