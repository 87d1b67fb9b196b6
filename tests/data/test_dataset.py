import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prune_kit.data.dataset import from_arrays
from prune_kit.data.identity import HELD_OUT, TRAIN
from prune_kit.data.labels import read_labels
from prune_kit.data.spec import load_data, source_names
from prune_kit.data.splits import held_out_rows
from prune_kit.errors import DataError, OptionError

IMAGES = np.arange(30 * 4, dtype=np.uint8).reshape(30, 2, 2)
LABEL = np.arange(30) % 3


def small_data(**changes):
    return from_arrays(
        **{"images": IMAGES, "label": LABEL, "name": "mine", "spec": "mine:here"} | changes
    )


# held-out rows

LABELS = st.lists(st.integers(0, 5), min_size=1, max_size=200).map(np.array)


@given(LABELS)
def test_of_each_class_the_nearest_whole_number_to_a_fifth_is_held_out(label):
    rows = held_out_rows(label)
    assert (np.diff(rows) > 0).all()
    for value in np.unique(label):
        assert abs((label[rows] == value).sum() - (label == value).sum() / 5) <= 0.5


@given(LABELS, st.integers(0, 5))
def test_one_class_is_held_out_alike_whatever_the_others_are(label, value):
    alone = np.where(label == value, value, 6)
    rows, rows_alone = held_out_rows(label), held_out_rows(alone)
    assert rows[label[rows] == value].tolist() == rows_alone[label[rows_alone] == value].tolist()


def test_the_held_out_rows_stay_what_they_are_from_version_to_version():
    assert held_out_rows(LABEL).tolist() == held_out_rows(LABEL.copy()).tolist() == GOLDEN


GOLDEN = [4, 8, 12, 18, 26, 28]


def test_held_out_rows_keep_their_place_and_are_the_test_set():
    data = small_data()
    held_out = held_out_rows(LABEL)
    assert np.flatnonzero(data.rows.role == HELD_OUT).tolist() == held_out.tolist()
    assert np.flatnonzero(data.rows.role == TRAIN).tolist() == data.rows.training.tolist()
    np.testing.assert_array_equal(data.test.images, data.images[held_out])
    np.testing.assert_array_equal(data.test.label, LABEL[held_out])
    np.testing.assert_array_equal(data.test.digest, data.rows.digest[held_out])
    assert len(data) == 30


def test_with_a_test_set_of_its_own_no_row_is_held_out():
    data = small_data(test_images=IMAGES[:2], test_label=LABEL[:2])
    assert not data.rows.role.any()
    assert data.test.id.tolist() == [b"test/0", b"test/1"]
    assert "a test set of 2" in data.describe()


# relabelling


def test_other_labels_go_over_the_datas_own_which_are_kept():
    noisy = (LABEL + 1) % 3
    data = small_data().relabelled(noisy, "noisy.npy")
    np.testing.assert_array_equal(data.labels, noisy)
    np.testing.assert_array_equal(data.true_labels, LABEL)
    assert data.rows.options == {"labels_file": "noisy.npy"}
    assert data.fingerprint != small_data().fingerprint


def test_held_out_rows_are_judged_by_the_true_label():
    data = small_data().relabelled((LABEL + 1) % 3, "noisy.npy")
    np.testing.assert_array_equal(data.test.label, small_data().test.label)


def test_relabelling_twice_keeps_the_first_truth():
    data = small_data().relabelled((LABEL + 1) % 3, "a").relabelled((LABEL + 2) % 3, "b")
    np.testing.assert_array_equal(data.true_labels, LABEL)


@pytest.mark.parametrize(
    ("label", "reason"),
    [
        (LABEL[:29], r"noisy: labels have shape \(29,\); expected \(30,\)"),
        (LABEL + 1, r"noisy: label 3 in row 2 is out of range 0 \.\. 2"),
        (LABEL - 1, "noisy: label -1 in row 0"),
    ],
)
def test_labels_that_do_not_fit_are_refused(label, reason):
    with pytest.raises(DataError, match=reason):
        small_data().relabelled(label, "noisy")


# from_arrays


def test_bytes_and_texts_are_the_same_ids():
    texts = [f"é{row}" for row in range(30)]
    assert (
        small_data(ids=texts).ids.tolist()
        == small_data(ids=np.array([t.encode() for t in texts])).ids.tolist()
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"images": IMAGES.astype(float)}, "mine: the images are float64"),
        ({"images": IMAGES[0]}, r"are uint8 \(2, 2\)"),
        ({"label": LABEL.astype(float)}, "labels are float64"),
        ({"label": LABEL > 0}, "labels are bool"),
        ({"label": LABEL.astype(str)}, "labels are <U"),
        ({"label": LABEL * 0}, r"mine has one class only \('0'\)"),
        ({"label": LABEL * 2}, r"mine: class 1 \('1'\) is empty"),
        ({"label": LABEL * 10**15}, "label 2000000000000000 is out of range"),
        ({"label": LABEL, "class_names": ("a", "b")}, r"label 2 in row 2 is out of range 0 \.\. 1"),
        ({"ids": ["a"]}, "mine: 1 ids for 30 images"),
        (
            {"images": IMAGES[:3], "label": LABEL[:3]},
            "too few to hold out a fifth; give it a test set",
        ),
    ],
)
def test_wrong_arrays_are_refused_with_what_is_wrong(changes, reason):
    with pytest.raises(DataError, match=reason):
        small_data(**changes)


# specifications


def test_every_source_is_listed_as_the_user_writes_it():
    assert {"digits", "mnist", "fashion-mnist", "cifar10", "cifar100", "folder", "npz"} <= set(
        source_names()
    )
    assert "function" not in source_names()


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("minst:here", "unknown data source 'minst'. Did you mean 'mnist'?"),
        ("mnist", "lacks a path; write mnist:PATH"),
        ("mnist:", "lacks a path; write mnist:PATH"),
        ("", "unknown data source ''"),
        ("a.b:not an identifier", "unknown data source 'a.b'"),
    ],
)
def test_a_specification_that_names_nothing_is_refused(spec, reason):
    with pytest.raises(OptionError, match=reason.replace("?", r"\?")):
        load_data(spec)


def test_a_place_is_remembered_in_full(tmp_path, monkeypatch):
    np.savez(tmp_path / "mine.npz", x_train=IMAGES, y_train=LABEL)
    monkeypatch.chdir(tmp_path)
    assert load_data("npz:mine.npz").rows.data == f"npz:{tmp_path / 'mine.npz'}"


@pytest.mark.parametrize("size", [0, -3])
def test_an_image_size_below_one_is_refused(tmp_path, size):
    with pytest.raises(OptionError, match="at least 1"):
        load_data(f"folder:{tmp_path}", image_size=size)


def test_a_labels_file_is_put_over_the_data(tmp_path):
    labels = np.arange(1797) % 10
    np.save(tmp_path / "noisy.npy", labels)
    data = load_data("digits", labels=tmp_path / "noisy.npy")
    np.testing.assert_array_equal(data.labels, labels)
    np.testing.assert_array_equal(data.true_labels, load_data("digits").labels)
    assert data.rows.options == {"labels_file": str(tmp_path / "noisy.npy")}
    with pytest.raises(DataError, match=r"the labels file .*none\.npy does not exist"):
        load_data("digits", labels=tmp_path / "none.npy")


# label files

IDS = np.array([b"a", b"b", b"c"])


@pytest.mark.parametrize(
    "text",
    [
        "label\n2\n0\n1\n",
        "index,label\n0,2\n1,0\n2,1\n",
        "index,label\n2,1\n0,2\n1,0\n",
        "id,label\nc,1\na,2\nb,0\n",
        "label,id,index\n1,c,2\n2,a,0\n0,b,1\n",
        "\ufeffindex,label,note\r\n0,2,a\r\n1,0,b\r\n2,1,c\r\n",
    ],
)
def test_a_csv_gives_its_column_label(tmp_path, text):
    path = tmp_path / "labels.csv"
    path.write_text(text, "utf-8", newline="")
    labels, note = read_labels(path, IDS)
    assert labels.tolist() == [2, 0, 1]
    assert bool(note) == text.startswith("label\n")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "does not have a row under its first line"),
        (b"index,label\n", "does not have a row under its first line"),
        (b"a,b\n1,2\n", "does not have the column 'label'"),
        (
            b"index,label\n1,0\n2,1\n",
            "must name each of the 3 rows once; its 2 lines name 2 of them",
        ),
        (b"id,label\na,0\na,1\n", "has row 0 more than once"),
        (
            b"id,label\nd,0\n",
            "names 'd' in its column 'id', .*; an example of an id is 'a'",
        ),
        (b"index,id,label\n0,b,0\n1,a,1\n2,c,2\n", "calls row 0 'b'; in the data it is 'a'"),
        (b"label\nx\n0\n1\n", "has the label 'x'"),
        (b"label\n1.5\n1\n0\n", "has the label '1.5'"),
        (b"index,label\n0,1\n1\n2,1\n", "has the label ''"),
        (b"label\n" + b"9" * 30 + b"\n1\n2\n", "has the label '9999"),
        (b"label\n\xff\xfe\n", "cannot be read as CSV"),
    ],
)
def test_a_csv_without_labels_says_what_is_wrong(tmp_path, content, reason):
    path = tmp_path / "labels.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"labels\.csv:? .*{reason}"):
        read_labels(path, IDS)


def test_a_npy_that_holds_no_plain_array_is_refused(tmp_path):
    path = tmp_path / "labels.npy"
    np.save(path, np.array([None, {}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="is not an array of labels"):
        read_labels(path, IDS)
    path.write_bytes(b"hello")
    with pytest.raises(DataError, match="is not an array of labels"):
        read_labels(path, IDS)
    path.write_bytes(b"")
    with pytest.raises(DataError, match="is not an array of labels"):
        read_labels(path, IDS)
    with path.open("wb") as file:
        np.savez(file, a=np.zeros(3))
    with pytest.raises(DataError, match=r"is an \.npz file under another name"):
        read_labels(path, IDS)


def test_another_kind_of_file_is_no_label_file(tmp_path):
    with pytest.raises(DataError, match=r"expected a name that ends in \.npy, \.csv or \.h5"):
        read_labels(tmp_path / "labels.txt", IDS)
