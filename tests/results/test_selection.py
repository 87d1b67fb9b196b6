import json
from dataclasses import fields, replace

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prune_kit import pipeline
from prune_kit.data.identity import Rows
from prune_kit.errors import FileError, IdentityError
from prune_kit.results.selection import (
    DROPPED_EASY,
    DROPPED_HARD,
    DROPPED_OTHER,
    HELD_OUT_REASON,
    KEPT,
    REASONS,
    Selection,
)
from tests.small_tables import rows_of, selection_of, table_of

N = 9
REASON = [
    KEPT,
    HELD_OUT_REASON,
    DROPPED_EASY,
    KEPT,
    DROPPED_HARD,
    KEPT,
    HELD_OUT_REASON,
    DROPPED_EASY,
    KEPT,
]


@pytest.fixture
def selection():
    """Four rows kept of seven, two held out."""
    role = np.array(REASON) == HELD_OUT_REASON
    rows = rows_of(
        np.arange(N) % 3, role=role, true_label=np.zeros(N, np.int64), options={"image_size": 64}
    )
    return selection_of(
        REASON,
        rows=rows,
        score=np.where(role, np.nan, np.linspace(0, 1, N)).astype(np.float32),
        parameters={"keep": 0.5, "offset": 0.02, "per_class": False, "offset_from": "hard"},
        scored_with={"config": {"model": "mlp"}, "seed": 0},
    )


@pytest.fixture
def path(tmp_path, selection):
    """The selection, written."""
    selection.write(tmp_path / "selection.h5")
    return tmp_path / "selection.h5"


def assert_same(found, expected):
    for field in fields(Selection):
        if field.name not in ("rows", "reason", "score"):
            assert getattr(found, field.name) == getattr(expected, field.name), field.name
    np.testing.assert_array_equal(found.reason, expected.reason, strict=True)
    np.testing.assert_array_equal(found.score, expected.score)
    for field in fields(Rows):
        np.testing.assert_array_equal(
            getattr(found.rows, field.name), getattr(expected.rows, field.name)
        )


# the file


def test_a_selection_comes_back(selection, path):
    assert_same(Selection.read(path), selection)


def test_a_selection_without_scores_comes_back(tmp_path, selection):
    selection = replace(selection, score=None, column="", rule="random")
    selection.write(tmp_path / "random.h5")
    assert Selection.read(tmp_path / "random.h5").score is None
    assert Selection.read(tmp_path / "random.h5").index.tolist() == selection.index.tolist()


def test_the_file_has_the_layout_of_the_design(selection, path):
    with h5py.File(path) as file:
        assert set(file) == {"index", "id", "digest", "label", "true_label", "reason", "score"}
        layout = {name: (file[name].dtype, file[name].shape) for name in file if name != "id"}
        assert layout == {
            "index": (np.int64, (4,)),
            "digest": (np.uint64, (N,)),
            "label": (np.int64, (N,)),
            "true_label": (np.int64, (N,)),
            "reason": (np.uint8, (N,)),
            "score": (np.float32, (N,)),
        }
        assert list(file["id"].asstr()) == [f"train/{row}" for row in range(N)]
        assert file["index"][()].tolist() == [0, 3, 5, 8]
        assert file["reason"][()].tolist() == REASON
        assert json.loads(file["reason"].attrs["legend"]) == list(REASONS)
        assert REASONS[:5] == (
            "kept",
            "dropped-easy",
            "dropped-hard",
            "dropped-noisy",
            "dropped-other",
        )
        attributes = dict(file.attrs)
    assert attributes.pop("format") == "prune_kit.selection"
    assert attributes.pop("format_version") == 1
    assert attributes.pop("rule") == "window"
    assert json.loads(attributes.pop("parameters")) == selection.parameters
    assert attributes.pop("column") == "el2n@20"
    assert attributes.pop("fingerprint") == selection.rows.fingerprint
    assert attributes.pop("data") == selection.rows.data
    assert set(attributes) == {
        "class_names",
        "created",
        "prune_kit_version",
        "data_options",
        "scored_with",
        "test_fingerprint",
    }


@pytest.mark.parametrize(
    ("name", "told"),
    [("label", "fingerprint"), ("digest", "fingerprint"), ("index", "index"), ("reason", "index")],
)
def test_what_was_tampered_with_is_noticed(path, name, told):
    with h5py.File(path, "r+") as file:
        values = file[name][()]
        values[2] ^= values.dtype.type(1)
        file[name][...] = values
    with pytest.raises(FileError, match=f"{path} is damaged.*{told}"):
        Selection.read(path)


@pytest.mark.parametrize("name", ["index", "id", "digest", "label", "reason"])
def test_a_selection_that_lacks_a_part_is_refused(path, name):
    with h5py.File(path, "r+") as file:
        del file[name]
    with pytest.raises(FileError, match="is incomplete or damaged"):
        Selection.read(path)


def test_a_score_table_is_no_selection(tmp_path):
    table_of([1, 2]).write(tmp_path / "scores.h5")
    with pytest.raises(
        FileError,
        match=r"is prune_kit.scores; expected prune_kit.selection, which prune-kit select",
    ):
        Selection.read(tmp_path / "scores.h5")


# what it says


@given(reason=st.lists(st.integers(0, len(REASONS) - 1), max_size=40))
def test_kept_and_dropped_are_sorted_and_with_the_held_out_rows_they_are_all_rows(reason):
    selection = selection_of(reason)
    held_out = np.flatnonzero(selection.reason == HELD_OUT_REASON)
    assert selection.index.dtype == selection.dropped.dtype == np.int64
    for index in (selection.index, selection.dropped):
        assert np.all(np.diff(index) > 0)
    everything = np.concatenate([selection.index, selection.dropped, held_out])
    assert sorted(everything.tolist()) == list(range(len(reason)))


def test_the_window_is_told_both_ways():
    selection = pipeline.select(table_of(np.arange(1000)), keep=0.5, offset=0.02)
    assert selection.describe() == (
        "kept 500 of 1,000 training rows (50.0%): kept percentiles 48.0 to 98.0 of el2n@20; "
        "dropped 48% easiest, 2% hardest"
    )
    easy = pipeline.select(
        table_of(np.arange(1000)), keep=0.5, offset=0.02, offset_from="easy", per_class=True
    )
    assert easy.describe() == (
        "kept 500 of 1,000 training rows (50.0%): kept percentiles 2.0 to 52.0 of el2n@20 within "
        "each class; dropped 2% easiest, 48% hardest"
    )
    odd = pipeline.select(table_of(np.arange(1797)), keep=0.333, offset=0.01)
    assert odd.describe().endswith(
        "percentiles 65.7 to 99.0 of el2n@20; dropped 65.7% easiest, 1% hardest"
    )


def test_the_share_of_a_class_counts_its_training_rows_alone():
    reason = [KEPT, KEPT, DROPPED_EASY, KEPT, DROPPED_HARD, DROPPED_HARD, HELD_OUT_REASON]
    rows = rows_of(
        [0, 0, 0, 2, 2, 2, 2],
        role=np.array(reason) == HELD_OUT_REASON,
        class_names=("a", "none", "c"),
    )
    selection = selection_of(reason, rows=rows)
    np.testing.assert_allclose(selection.class_shares(), [2 / 3, np.nan, 1 / 3])
    assert selection.share == 0.5


def test_a_class_is_thin_below_half_of_the_average_share():
    label = [0] * 10 + [1] * 10 + [2] * 10
    reason = np.full(30, DROPPED_EASY)
    reason[:10] = KEPT  # a keeps all, b a tenth, c four tenths: on average a half
    reason[10:11] = KEPT
    reason[20:24] = KEPT
    assert selection_of(
        reason, rows=rows_of(label, class_names=("a", "b", "c", "none"))
    ).thin_classes() == ["b"]
    reason[10:11] = DROPPED_EASY  # b is gone, which is another matter
    assert selection_of(reason, label=label).thin_classes() == []
    reason[:] = KEPT
    assert selection_of(reason, label=label).thin_classes() == []


@pytest.mark.parametrize(
    ("kept", "gone"),
    [
        ([3, 4, 5], {}),
        ([1, 1, 1], {}),
        ([0, 4, 5], {"a": 3}),
        ([0, 4, 0], {"c": 5, "a": 3}),
        ([0, 0, 0], {"c": 5, "b": 4, "a": 3}),
    ],
)
def test_a_class_is_gone_when_it_keeps_no_training_row(kept, gone):
    totals = [3, 4, 5]
    reason = [
        KEPT if row < count else DROPPED_EASY
        for count, total in zip(kept, totals, strict=True)
        for row in range(total)
    ]
    label = np.repeat([0, 1, 2, 3], [*totals, 1])  # of d one row is there, held out
    rows = rows_of(label, role=[0] * 12 + [1], class_names=("a", "b", "c", "d", "none"))
    found = selection_of([*reason, HELD_OUT_REASON], rows=rows).gone_classes()
    assert list(found.items()) == list(gone.items())


# aligned_to


def aligned_by_hand(selection, rows):
    """For every row the first unused row of the selection with the same content."""
    unused = list(range(len(selection.rows)))
    found = []
    for digest in rows.digest:
        match = next((row for row in unused if selection.rows.digest[row] == digest), None)
        found.append(match)
        if match is not None:
            unused.remove(match)
    return found


@given(data=st.data())
def test_a_choice_follows_the_content_into_another_order_a_subset_or_a_superset(data):
    n = data.draw(st.integers(1, 12))
    numbers = st.lists(st.integers(0, 6), min_size=n, max_size=n)  # with copies
    digest, label = data.draw(numbers), data.draw(numbers)
    reason = data.draw(st.lists(st.sampled_from([0, 1, 2, 5]), min_size=n, max_size=n))
    names = tuple("abcdefg")
    rows = rows_of(
        label, digest=digest, role=np.array(reason) == HELD_OUT_REASON, class_names=names
    )
    selection = selection_of(reason, rows=rows, score=np.linspace(0, 1, n).astype(np.float32))
    others = data.draw(st.lists(st.sampled_from(digest), min_size=1)) + data.draw(
        st.lists(st.integers(0, 9))
    )
    others = data.draw(st.permutations(others))
    target = rows_of([3] * len(others), digest=others, class_names=names)
    aligned = selection.aligned_to(target)
    for row, source in enumerate(aligned_by_hand(selection, target)):
        if source is None:
            assert (aligned.reason[row], aligned.rows.label[row]) == (DROPPED_OTHER, 3)
            assert np.isnan(aligned.score[row])
        else:
            assert (aligned.reason[row], aligned.rows.label[row]) == (reason[source], label[source])
            assert aligned.score[row] == selection.score[source]
    np.testing.assert_array_equal(aligned.rows.digest, others)
    np.testing.assert_array_equal(aligned.rows.role == 1, aligned.reason == HELD_OUT_REASON)


@given(seed=st.integers(0, 1000))
def test_there_and_back_again_is_the_same_choice(seed):
    rng = np.random.default_rng(seed)
    reason = rng.choice([0, 1, 2, 5], 20)
    rows = rows_of(
        rng.integers(0, 3, 20), role=reason == HELD_OUT_REASON, class_names=("a", "b", "c")
    )
    selection = selection_of(reason, rows=rows)
    order = rng.permutation(20)
    moved = rows_of(rows.label[order], digest=rows.digest[order], class_names=rows.class_names)
    back = selection.aligned_to(moved).aligned_to(rows)
    np.testing.assert_array_equal(back.reason, selection.reason)
    np.testing.assert_array_equal(back.rows.role, rows.role)


def test_labels_that_were_put_over_the_data_come_along_with_the_right_ones():
    noisy = rows_of(
        [1, 0, 1],
        digest=[7, 8, 9],
        true_label=np.array([0, 0, 1]),
        options={"labels_file": "/noisy.npy"},
    )
    selection = selection_of([KEPT, HELD_OUT_REASON, KEPT], rows=noisy)
    plain = rows_of([1, 0], digest=[9, 7])
    aligned = selection.aligned_to(plain).rows
    assert aligned.label.tolist() == [1, 1]
    assert aligned.true_label is not None
    assert aligned.true_label.tolist() == [1, 0]
    assert aligned.options == {"labels_file": "/noisy.npy"}


def test_other_data_cannot_be_aligned(selection):
    with pytest.raises(IdentityError, match="cannot be aligned"):
        selection.aligned_to(rows_of([0, 1], digest=[1, 2]))


def test_a_reason_that_is_none_is_noticed(path):
    with h5py.File(path, "r+") as file:
        reason = file["reason"][()]
        reason[reason != KEPT] = 77
        file["reason"][...] = reason
    with pytest.raises(
        FileError, match=f"{path} is damaged: reason 77 is none of kept, dropped-easy"
    ):
        Selection.read(path)


# ties at the edge


@pytest.mark.parametrize(
    ("values", "keep", "offset", "tied"),
    [
        ([1.0, 2, 3, 4, 5, 6], 0.5, 0.0, 0),
        ([1.0, 1, 1, 1, 5, 6], 0.5, 0.0, 4),  # the easy edge is cut among the ones
        ([1.0, 2, 3, 6, 6, 6], 0.5, 1 / 6, 3),  # the hard edge among the sixes
        ([2.0, 2, 3, 4, 5, 5], 0.5, 1 / 6, 2),
        ([1.0] * 6, 0.5, 0.0, 6),
    ],
)
@pytest.mark.parametrize("harder", ["higher", "lower"])
def test_rows_with_the_score_of_an_edge_are_counted(values, keep, offset, tied, harder):
    table = table_of(values if harder == "higher" else [-value for value in values], harder=harder)
    assert pipeline.select(table, keep=keep, offset=offset).tied_at_the_edges() == tied


def test_within_classes_and_without_an_order_no_edge_is_told():
    table = table_of([1.0, 1, 1, 2, 2, 2], label=[0, 1, 0, 1, 0, 1])
    assert pipeline.select(table, keep=0.5, per_class=True).tied_at_the_edges() == 0
    assert pipeline.select(table, rule="random", keep=0.5).tied_at_the_edges() == 0
