import json
import math
from dataclasses import replace

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from prune_kit.data.identity import index_digest
from prune_kit.errors import FileError
from prune_kit.results.cells import checked_cells
from prune_kit.results.outcomes import (
    COLUMNS,
    FULL,
    Outcome,
    Outcomes,
    paired_difference,
    random_name,
)
from tests.small_tables import table_of

ACCURACY = {
    FULL: [0.98, 0.97, 0.99, 0.985],
    "sel": [0.95, 0.97, 0.96, 0.955],
    random_name(50): [0.90, 0.93, 0.91, 0.95],
}
KEPT = {FULL: 100, "sel": 50, random_name(50): 50}


def outcome(name, seed, accuracy, kept=50):
    config = json.dumps({"model": "größe", "epochs": 2})
    return Outcome(name, seed, kept, accuracy, steps=20, epochs=2.5, seconds=0.5, config=config)


def outcomes_of(accuracy, kept):
    rows = [
        outcome(n, 1000 + s, value, kept[n])
        for n, values in accuracy.items()
        for s, value in enumerate(values)
    ]
    return Outcomes(tuple(rows), "abc", "digits")


@pytest.fixture
def outcomes():
    """Full data, a selection, and random rows, on four seeds each."""
    return outcomes_of(ACCURACY, KEPT)


# summaries


def test_a_summary_is_what_numpy_says(outcomes):
    lines = outcomes.summaries()
    assert [line.name for line in lines] == list(ACCURACY)
    for line in lines:
        values = ACCURACY[line.name]
        assert (line.kept, line.seeds) == (KEPT[line.name], 4)
        assert line.mean == pytest.approx(np.mean(values))
        assert (line.low, line.high) == pytest.approx(tuple(np.percentile(values, (16, 84))))


def test_differences_are_paired_by_seed_as_scipy_pairs_them(outcomes):
    full, selection, random = outcomes.summaries()
    for difference, one, other in (
        (selection.minus_full, "sel", FULL),
        (selection.minus_random, "sel", random_name(50)),
        (random.minus_full, random_name(50), FULL),
    ):
        test = stats.ttest_rel(ACCURACY[one], ACCURACY[other])
        interval = test.confidence_interval(0.95)
        assert difference.mean == pytest.approx(
            np.mean(np.subtract(ACCURACY[one], ACCURACY[other]))
        )
        assert (difference.low, difference.high) == pytest.approx((interval.low, interval.high))
    assert (full.minus_full, full.minus_random, random.minus_random) == (None, None, None)


@given(values=st.lists(st.floats(-1, 1), min_size=2, max_size=20))
def test_the_interval_is_students_and_holds_the_mean(values):
    difference = paired_difference(np.array(values))
    if np.ptp(values) < 1e-12:
        assert math.isnan(difference.low) and math.isnan(difference.high)
        return
    assert difference.low <= difference.mean <= difference.high
    assert difference.high - difference.mean == pytest.approx(difference.mean - difference.low)
    if np.ptp(values) > 1e-6:
        interval = stats.ttest_1samp(values, 0).confidence_interval(0.95)
        assert (difference.low, difference.high) == pytest.approx(
            (interval.low, interval.high), abs=1e-9
        )


@pytest.mark.parametrize("values", [[0.5, 0.5], [0.0, 0.0, 0.0], [0.9721 - 0.993, 0.4721 - 0.493]])
def test_seeds_that_differ_by_the_same_say_nothing_of_the_spread(values):
    difference = paired_difference(np.array(values))
    assert difference.mean == pytest.approx(values[0])
    assert math.isnan(difference.low) and math.isnan(difference.high)
    assert difference.without_interval == "the same for every seed"


def test_the_order_of_the_seeds_does_not_matter(outcomes):
    shuffled = replace(outcomes, rows=outcomes.rows[::-1])
    lines = {line.name: line for line in shuffled.summaries()}
    for line in outcomes.summaries():
        assert lines[line.name].mean == pytest.approx(line.mean)
        if line.minus_full is not None:
            assert lines[line.name].minus_full.low == pytest.approx(line.minus_full.low)


CELL = {"rule": "window", "by": "el2n@2", "keep": 0.5, "offset": 0.0}
CHOSEN = {"epochs": 3, "found": True, "goal": "accuracy", "met": True, "grid": {}}


@pytest.mark.parametrize(
    "cells",
    [
        {"a": {}},
        {"a": {**CELL, "keep": "half"}},
        {"a": {**CELL, "more": 1}},
        {"b": CELL},
        {"a": {**CELL, "epochs": "3"}},
        {"a": {**CELL, **CHOSEN, "goal": 7}},
        {"a": {**CELL, **CHOSEN, "grid": {"by": 1}}},
        {"a": CELL, "c": {**CELL, "epochs": 3}},
    ],
)
def test_cells_that_cannot_be_are_refused(cells, tmp_path):
    rows = (outcome("a", 1, 0.9), outcome("c", 1, 0.9))
    Outcomes(rows, "abc", "digits", cells=cells).write(tmp_path / "sweep.h5")
    with pytest.raises(FileError):
        Outcomes.read(tmp_path / "sweep.h5")


@pytest.mark.parametrize("cells", [[], None, 1, {"a": 1}, {"a": []}])
def test_cells_that_are_no_objects_are_refused(cells):
    with pytest.raises(ValueError, match="not objects by name"):
        checked_cells(cells)


@pytest.mark.parametrize("more", [{}, CHOSEN])
def test_cells_come_back(more, tmp_path):
    Outcomes((outcome("a", 1, 0.9),), "abc", "digits", cells={"a": CELL | more}).write(
        tmp_path / "sweep.h5"
    )
    assert Outcomes.read(tmp_path / "sweep.h5").cells == {"a": CELL | more}


def test_only_seeds_that_both_have_are_compared():
    rows = [
        outcome("a", 1, 0.9),
        outcome("a", 2, 0.8),
        outcome(FULL, 2, 0.7, 100),
        outcome(FULL, 3, 0.1, 100),
    ]
    outcomes = Outcomes(tuple(rows), "abc", "digits")
    assert outcomes.difference("a", FULL).mean == pytest.approx(0.1)
    assert outcomes.difference("a", "b") is None
    assert outcomes.accuracies("a") == {1: 0.9, 2: 0.8}


def test_a_single_seed_has_a_difference_but_no_interval():
    lines = outcomes_of({FULL: [0.9], "sel": [0.8]}, KEPT).summaries()
    difference = lines[1].minus_full
    assert difference.mean == pytest.approx(-0.1)
    assert math.isnan(difference.low)
    assert math.isnan(difference.high)
    assert difference.verdict == "too few seeds" and difference.without_interval == "by one seed"
    assert lines[1].minus_random is None
    assert (lines[1].low, lines[1].high) == (0.8, 0.8)


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [
        ([0.01, 0.011, 0.012], "above"),
        ([-0.01, -0.011, -0.012], "below"),
        ([-0.01, 0.012, 0.0], "not distinguishable"),
        ([0.0, 0.0, 0.0], "not distinguishable"),
        ([-0.03, 0.01, 0.02, 0.03], "not distinguishable"),
        ([-0.07, 0.07, 0.01], "too few seeds"),
        ([0.5, 0.5], "too few seeds"),
        ([0.5, 0.51], "too few seeds"),
        ([0.1], "too few seeds"),
    ],
)
def test_the_verdict_asks_whether_the_interval_leaves_zero_out_and_is_narrow_enough(
    differences, verdict
):
    assert paired_difference(np.array(differences)).verdict == verdict


# the file


def test_outcomes_come_back(outcomes, tmp_path):
    outcomes.write(tmp_path / "outcomes.h5")
    found = Outcomes.read(tmp_path / "outcomes.h5")
    assert found.rows == outcomes.rows
    assert (found.fingerprint, found.data, found.created) == ("abc", "digits", outcomes.created)
    assert [type(value) for value in vars(found.rows[0]).values()] == [
        str,
        int,
        int,
        float,
        int,
        float,
        float,
        str,
    ]


def test_the_file_has_the_layout_of_the_design(outcomes, tmp_path):
    outcomes.write(tmp_path / "outcomes.h5")
    with h5py.File(tmp_path / "outcomes.h5") as file:
        assert list(COLUMNS) == [
            "selection",
            "seed",
            "kept",
            "test_accuracy",
            "steps",
            "epochs",
            "seconds",
            "config",
        ]
        assert set(file) == set(COLUMNS)
        assert {dataset.shape for dataset in file.values()} == {(12,)}
        assert [file[name].dtype for name in ("seed", "kept", "steps")] == [np.int64] * 3
        assert [file[name].dtype for name in ("test_accuracy", "epochs", "seconds")] == [
            np.float64
        ] * 3
        for name in ("selection", "config"):
            assert h5py.check_string_dtype(file[name].dtype).encoding == "utf-8"
        assert json.loads(file["config"].asstr()[0]) == {"model": "größe", "epochs": 2}
        attributes = dict(file.attrs)
    assert attributes.pop("format") == "prune_kit.outcomes"
    assert attributes.pop("format_version") == 1
    assert set(attributes) == {"fingerprint", "data", "created", "prune_kit_version"}


def test_another_kind_and_a_file_that_lacks_a_part_are_refused(outcomes, tmp_path):
    table_of([1, 2]).write(tmp_path / "scores.h5")
    with pytest.raises(
        FileError,
        match=r"is prune_kit.scores; expected prune_kit.outcomes, which prune-kit retrain",
    ):
        Outcomes.read(tmp_path / "scores.h5")
    outcomes.write(tmp_path / "outcomes.h5")
    with h5py.File(tmp_path / "outcomes.h5", "r+") as file:
        del file["seed"]
        file["seed"] = np.arange(3)
    with pytest.raises(FileError, match="is incomplete or damaged"):
        Outcomes.read(tmp_path / "outcomes.h5")


def test_it_is_known_whether_a_selection_has_changed_since(outcomes):
    index = np.array([3, 5, 8])
    assert outcomes.trained_on("sel", index) is None  # an earlier version did not say
    told = json.dumps({"rows": index_digest(index)})
    known = replace(outcomes, rows=tuple(replace(row, config=told) for row in outcomes.rows))
    assert known.trained_on("sel", index) and known.trained_on("sel", index[:2]) is False
    assert known.trained_on("other", index) is None
