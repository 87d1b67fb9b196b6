import csv
import json
import math
from dataclasses import fields, replace

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prune_kit.data.identity import Rows
from prune_kit.errors import FileError, IdentityError, OptionError
from prune_kit.results.removal import ESTIMATES, NO_SUGGESTION, Removal, as_selection
from prune_kit.results.selection import DROPPED_NOISY, HELD_OUT_REASON, KEPT
from tests.small_tables import removal_of, rows_of, selection_of, table_of

NAMES = ("a, cat", 'dog "ß"', "日本", "nobody")
LABEL = [0, 0, 0, 1, 1, 1, 2, 2, 2]
ROLE = [0, 1, 0, 0, 0, 0, 0, 0, 1]
IDS = [f'{NAMES[label]}/{row}, "x".png' for row, label in enumerate(LABEL)]
INDEX, SUGGESTED = [6, 0, 4, 3], [1, 2, -1, 0]
CLEAR = [True, True, False, False]
SUSPICION = [1, np.nextafter(np.float32(0.7), np.float32(1)), 0.7, 0.1 + 0.2]


@pytest.fixture
def rows():
    return rows_of(
        LABEL,
        role=ROLE,
        ids=IDS,
        class_names=NAMES,
        true_label=np.zeros(9, np.int64),
        options={"image_size": 64},
    )


@pytest.fixture
def removal(rows):
    """Four of seven training rows: two clear suggestions, one that is not clear, and none."""
    return removal_of(
        INDEX,
        SUGGESTED,
        clear=CLEAR,
        suspicion=SUSPICION,
        rows=rows,
        noise_rate=1 / 3,
        noise_rate_low=0.1,
        noise_rate_high=math.pi / 6,
        precision=0.9,
        precision_low=0.7,
        recall=math.nan,
        parameters={"cut": "probes"},
        scored_with={"config": {"model": "mlp"}, "seed": 0},
    )


@pytest.fixture
def path(tmp_path, removal):
    """The removal, written."""
    removal.write(tmp_path / "removal.h5")
    return tmp_path / "removal.h5"


def assert_same(found, expected):
    for field in fields(Removal):
        if field.name != "rows":
            values = [getattr(removal, field.name) for removal in (found, expected)]
            np.testing.assert_array_equal(*values, strict=True, err_msg=field.name)
    for field in fields(Rows):
        np.testing.assert_array_equal(
            getattr(found.rows, field.name), getattr(expected.rows, field.name)
        )


# the file


def test_a_removal_comes_back_to_the_last_bit(removal, path):
    assert_same(Removal.read(path), removal)
    assert Removal.read(path).cut == removal.cut


@given(data=st.data())
def test_any_list_comes_back_to_the_last_bit(data, tmp_path_factory):
    count = data.draw(st.integers(2, 9))
    index = data.draw(st.lists(st.integers(0, count - 1), unique=True))
    shares = st.floats(0, 1, width=32)
    suspicion = sorted((data.draw(shares) for _ in index), reverse=True)
    estimates = {name: data.draw(shares | st.just(math.nan)) for name in ESTIMATES}
    label = data.draw(st.lists(st.integers(0, 2), min_size=count, max_size=count))
    suggested = [data.draw(st.sampled_from([-1, *({0, 1, 2} - {label[row]})])) for row in index]
    clear = [value >= 0 and data.draw(st.booleans()) for value in suggested]
    rows = rows_of(label, class_names=("a", "b", "c"))
    removal = removal_of(index, suggested, clear=clear, suspicion=suspicion, rows=rows, **estimates)
    path = tmp_path_factory.mktemp("any") / "removal.h5"
    removal.write(path)
    assert_same(Removal.read(path), removal)


def test_an_empty_list_comes_back_too(tmp_path, rows):
    empty = removal_of([], [], rows=rows, noise_rate=0.0)
    empty.write(tmp_path / "removal.h5")
    assert_same(Removal.read(tmp_path / "removal.h5"), empty)
    assert math.isnan(empty.cut)
    assert empty.confusions() == []
    assert empty.selection.index.tolist() == rows.training.tolist()
    assert empty.relabelled().tolist() == LABEL
    assert len((tmp_path / "removal.csv").read_text("utf-8").splitlines()) == 1


def test_the_file_has_the_layout_of_the_design(removal, path):
    with h5py.File(path) as file:
        layout = {name: (file[name].dtype, file[name].shape) for name in file if name != "id"}
        attributes = dict(file.attrs)
    assert layout == {
        "index": (np.int64, (4,)),
        "suspicion": (np.float32, (4,)),
        "suggested_label": (np.int64, (4,)),
        "clear": (np.bool_, (4,)),
        "digest": (np.uint64, (9,)),
        "label": (np.int64, (9,)),
        "role": (np.uint8, (9,)),
        "true_label": (np.int64, (9,)),
    }
    assert attributes["format"] == "prune_kit.removal"
    assert attributes["format_version"] == 1
    assert attributes["cut"] == np.float32(0.1 + 0.2)
    assert attributes["cut_method"] == "probes"
    assert attributes["noise_rate"] == 1 / 3
    assert np.isnan(attributes["recall"])
    assert attributes["fingerprint"] == removal.rows.fingerprint


def change(path, name, position, value):
    with h5py.File(path, "r+") as file:
        values = file[name][()]
        values[position] = value
        file[name][...] = values


@pytest.mark.parametrize(("name", "position", "value", "told"), [
    ("label", 5, 0, "fingerprint"),
    ("digest", 5, 7, "fingerprint"),
    ("index", 1, 6, "training rows, each once"),  # twice
    ("index", 1, 1, "training rows, each once"),  # held out as test
    ("index", 1, 9, "training rows, each once"),
    ("index", 1, -1, "training rows, each once"),
    ("suspicion", 0, 0.2, "does not fall"),
    ("suspicion", 0, 1.5, "does not fall"),
    ("suspicion", 3, np.nan, "does not fall"),
    ("suspicion", 3, -0.5, "does not fall"),
    ("suggested_label", 0, 4, "not another class"),
    ("suggested_label", 0, -2, "not another class"),
    ("suggested_label", 0, 2, "not another class"),  # the given one
    ("suggested_label", 0, -1, "not another class"),  # and yet clear
])  # fmt: skip
def test_what_was_tampered_with_is_noticed(path, name, position, value, told):
    change(path, name, position, value)
    with pytest.raises(FileError, match=f"{path} is damaged.*{told}"):
        Removal.read(path)


@pytest.mark.parametrize(
    "name", ["index", "suspicion", "suggested_label", "clear", "id", "digest", "label", "role"]
)
def test_a_removal_that_lacks_a_part_is_refused(path, name):
    with h5py.File(path, "r+") as file:
        del file[name]
    with pytest.raises(FileError, match="is incomplete or damaged"):
        Removal.read(path)


@pytest.mark.parametrize("name", ["index", "suspicion", "suggested_label", "clear"])
@pytest.mark.parametrize(
    "values", [np.zeros((4, 1), np.int64), np.zeros(2, np.int64), np.int64(0), np.zeros(4, "S3")]
)
def test_an_array_of_another_shape_or_type_is_refused(path, name, values):
    with h5py.File(path, "r+") as file:
        del file[name]
        file[name] = values
    with pytest.raises(FileError, match=f"{path} is damaged: .* expected"):
        Removal.read(path)


@pytest.mark.parametrize(
    "name", ["cut_method", "noise_rate", "precision_low", "parameters", "created"]
)
def test_a_removal_that_lacks_an_attribute_is_refused(path, name):
    with h5py.File(path, "r+") as file:
        del file.attrs[name]
    with pytest.raises(FileError, match="is incomplete or damaged"):
        Removal.read(path)


def test_half_a_file_a_score_table_and_no_file_are_no_removal(tmp_path, path):
    path.write_bytes(path.read_bytes()[:4000])
    with pytest.raises(FileError, match="is not a whole HDF5 file"):
        Removal.read(path)
    table_of([1, 2]).write(tmp_path / "scores.h5")
    with pytest.raises(
        FileError, match=r"is prune_kit.scores; expected prune_kit.removal, which prune-kit clean"
    ):
        Removal.read(tmp_path / "scores.h5")
    with pytest.raises(
        FileError, match=r"there is no file .*nowhere.h5. Make it with: prune-kit clean"
    ):
        Removal.read(tmp_path / "nowhere.h5")


# the CSV beside it


def test_the_csv_says_the_same_most_suspect_first(path):
    with path.with_suffix(".csv").open(newline="", encoding="utf-8") as file:
        found = list(csv.reader(file))
    assert found == [
        [
            "id",
            "index",
            "given_label",
            "suggested_label",
            "suspicion",
            "given_class",
            "suggested_class",
            "fit",
        ],
        [IDS[6], "6", "2", "1", "1.000000", NAMES[2], NAMES[1], "another class is clearly better"],
        [IDS[0], "0", "0", "2", "0.700000", NAMES[0], NAMES[2], "another class is clearly better"],
        [IDS[4], "4", "1", "", "0.700000", NAMES[1], "", ""],
        [IDS[3], "3", "1", "0", "0.300000", NAMES[1], NAMES[0], "no class fits"],
    ]


def test_the_name_of_the_csv_is_refused_before_anything_is_written(tmp_path, removal):
    with pytest.raises(OptionError, match=r"removal\.csv is where the list goes as CSV"):
        removal.write(tmp_path / "removal.csv")
    assert list(tmp_path.iterdir()) == []


# what it says


def test_a_removal_stands_for_its_complement(removal):
    expected = [
        DROPPED_NOISY,
        HELD_OUT_REASON,
        KEPT,
        *[DROPPED_NOISY] * 2,
        KEPT,
        DROPPED_NOISY,
        KEPT,
        HELD_OUT_REASON,
    ]
    assert removal.selection.reason.tolist() == expected
    assert removal.selection.index.tolist() == [2, 5, 7]
    assert removal.selection.dropped.tolist() == sorted(INDEX)
    assert removal.selection.scored_with == removal.scored_with
    assert as_selection(removal) is removal.selection
    selection = selection_of([KEPT])
    assert as_selection(selection) is selection


def test_a_class_loses_a_share_of_its_training_rows(removal):
    np.testing.assert_allclose(removal.class_losses(), [1 / 2, 2 / 3, 1 / 2, np.nan])


def test_only_clear_suggestions_change_labels(removal):
    assert removal.relabelled().tolist() == [2, 0, 0, 1, 1, 1, 1, 2, 2]
    assert removal.rows.label.tolist() == LABEL
    assert removal.label.tolist() == [2, 0, 1, 1]


def test_confusions_are_the_clear_ones_the_most_frequent_first():
    label = [0, 0, 1, 1, 2, 2, 2, 0]
    suggested, clear = [2, 2, 0, 2, 0, 0, 0, 1], [True] * 6 + [False, True]
    removal = removal_of(range(8), suggested, clear=clear, label=label)
    assert removal.confusions() == [(0, 2, 2), (2, 0, 2), (0, 1, 1), (1, 0, 1), (1, 2, 1)]


# aligned_to


def test_the_list_follows_the_content_and_keeps_its_order(removal):
    order = np.random.default_rng(3).permutation(9)
    moved = rows_of([3] * 9, digest=removal.rows.digest[order], class_names=NAMES)
    aligned = removal.aligned_to(moved)
    assert order[aligned.index].tolist() == INDEX
    assert aligned.suggested_label.tolist() == SUGGESTED
    assert aligned.label.tolist() == removal.label.tolist()
    assert aligned.relabelled().tolist() == removal.relabelled()[order].tolist()
    assert (aligned.rows.role == removal.rows.role[order]).all()
    assert aligned.noise_rate == removal.noise_rate
    assert_same(replace(aligned.aligned_to(removal.rows), rows=removal.rows), removal)


def test_over_fewer_or_more_examples_the_estimates_are_unknown_and_unknown_rows_stay(removal):
    digest = removal.rows.digest
    some = removal.aligned_to(rows_of([0] * 4, digest=digest[[3, 8, 2, 0]], class_names=NAMES))
    assert some.index.tolist() == [3, 0]
    assert some.suggested_label.tolist() == [2, 0]
    assert some.suspicion.tolist() == [removal.suspicion[1], removal.suspicion[3]]
    assert some.selection.index.tolist() == [2]
    more = removal.aligned_to(rows_of([3] * 11, digest=[5, *digest, 7], class_names=NAMES))
    assert more.index.tolist() == [row + 1 for row in INDEX]
    assert more.selection.index.tolist() == [0, 3, 6, 8, 10]
    assert more.rows.label.tolist() == [3, *LABEL, 3]
    for aligned in (some, more):
        assert all(math.isnan(getattr(aligned, name)) for name in ESTIMATES)


def test_other_data_cannot_be_aligned(removal):
    with pytest.raises(IdentityError, match="cannot be aligned"):
        removal.aligned_to(rows_of([0, 1], digest=[1, 2]))


def test_parameters_are_json(path):
    with h5py.File(path) as file:
        assert json.loads(file.attrs["parameters"]) == {"cut": "probes"}


def test_labels_are_carried_by_the_names_of_their_classes(removal):
    turned = rows_of([0] * 9, digest=removal.rows.digest, class_names=NAMES[::-1])
    aligned = removal.aligned_to(turned)
    last = len(NAMES) - 1
    assert aligned.rows.label.tolist() == [last - label for label in LABEL]
    assert aligned.suggested_label.tolist() == [2, 1, NO_SUGGESTION, 3]


def test_a_suggested_class_that_the_data_lack_is_no_suggestion():
    names = NAMES[:3]
    removal = removal_of(
        [0, 1], [2, 1], clear=[True, True], rows=rows_of([0, 0, 1, 1], class_names=names)
    )
    fewer = rows_of([0, 0, 1, 1], digest=removal.rows.digest, class_names=names[:2])
    aligned = removal.aligned_to(fewer)
    assert aligned.suggested_label.tolist() == [NO_SUGGESTION, 1] and aligned.clear.tolist() == [
        False,
        True,
    ]
    with pytest.raises(IdentityError, match="a class that the data lack; they have: "):
        removal.aligned_to(rows_of([0] * 4, digest=removal.rows.digest, class_names=names[:1]))
