"""Every integer type of labels and row numbers, for every reader of arrays."""

import numpy as np
import pytest

from prune_kit.comparison.external_scores import read_external_scores
from prune_kit.data.array_checks import check_labels, count_classes
from prune_kit.data.dataset import from_arrays
from prune_kit.data.sources import function
from prune_kit.data.spec import load_data
from prune_kit.errors import DataError

TYPES = [
    *(np.dtype(order + kind + size) for order in "<>" for kind in "iu" for size in "1248"),
    np.dtype(np.intc), np.dtype(np.longlong), np.dtype(np.ulonglong),
]  # fmt: skip
N, CLASSES = 30, 3
LABEL = np.arange(N) % CLASSES
IMAGES = np.random.default_rng(0).integers(0, 256, (N, 4, 4), dtype=np.uint8)


def from_npz(label, folder):
    np.savez(folder / "a.npz", x_train=IMAGES, y_train=label, x_test=IMAGES, y_test=label)
    return load_data(f"npz:{folder / 'a.npz'}").labels


def from_a_column(label, folder):
    np.savez(folder / "a.npz", x_train=IMAGES, y_train=label[:, None])
    return load_data(folder / "a.npz").labels


def from_npy(label, folder):
    np.savez(folder / "a.npz", x_train=IMAGES, y_train=LABEL[::-1].copy())
    np.save(folder / "l.npy", label)
    return load_data(f"npz:{folder / 'a.npz'}", labels=folder / "l.npy").labels


def from_a_function(label, folder, monkeypatch=None):
    return function.from_named_arrays(
        {"x_train": IMAGES, "y_train": label}, name="mine", spec="mine"
    ).labels


def from_published(label, folder):
    np.savez(folder / "c.npz", scores=label, labels=label)
    rows = from_arrays(IMAGES, LABEL, name="mine", spec="mine").rows
    return read_external_scores(folder / "c.npz", rows)[0].astype(int)


READERS = [from_npz, from_a_column, from_npy, from_a_function, from_published]


@pytest.mark.parametrize("read", READERS, ids=[read.__name__ for read in READERS])
@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_labels_of_every_integer_type_are_read(tmp_path, dtype, read):
    np.testing.assert_array_equal(read(LABEL.astype(dtype), tmp_path), LABEL)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_labels_out_of_range_are_refused_for_every_integer_type(dtype):
    label = LABEL.astype(dtype)
    label[5] = np.iinfo(dtype).max
    largest = np.iinfo(dtype).max
    with pytest.raises(DataError, match=f"label {largest} is out of range"):
        count_classes(label, N, "mine")
    with pytest.raises(DataError, match=f"label {largest} in row 5 is out of range 0 .. 2"):
        check_labels(label, N, CLASSES, "mine")


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_no_label_at_all_is_no_class_for_every_integer_type(dtype):
    assert count_classes(np.zeros(0, dtype), 0, "mine") == 0


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "g", "c8", "?", "S1", "U1", "M8[s]"])
def test_labels_of_another_type_are_refused_by_name(dtype):
    label = np.zeros(N, dtype)
    with pytest.raises(DataError, match=r"labels are .*expected integers"):
        from_arrays(IMAGES, label, name="mine", spec="mine")
