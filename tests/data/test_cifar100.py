import numpy as np
import pytest

from prune_kit.data.spec import load_data
from prune_kit.errors import DataError
from tests.data.small_sets import python2_pickle

FINE = [f"fine {number}" for number in range(100)]


@pytest.fixture(scope="module")
def splits():
    rng = np.random.default_rng(0)
    return {
        name: (
            rng.integers(0, 256, (n, 3072), dtype=np.uint8),
            [int(c) for c in rng.permutation(n) % 100],
        )
        for name, n in (("train", 200), ("test", 100))
    }


def write_python(folder, splits):
    folder.mkdir(parents=True, exist_ok=True)
    for name, (planes, label) in splits.items():
        coarse = [c // 5 for c in label]
        entries = {b"data": planes, b"fine_labels": label, b"coarse_labels": coarse}
        (folder / name).write_bytes(python2_pickle(entries))
    names = {
        b"coarse_label_names": [b"coarse"],
        b"fine_label_names": [name.replace(" ", "_").encode() for name in FINE],
    }
    (folder / "meta").write_bytes(python2_pickle(names))


def write_binary(folder, splits):
    folder.mkdir(parents=True, exist_ok=True)
    for name, (planes, label) in splits.items():
        records = [bytes([c // 5, c]) + row.tobytes() for row, c in zip(planes, label, strict=True)]
        (folder / f"{name}.bin").write_bytes(b"".join(records))
    (folder / "fine_label_names.txt").write_text("\n".join(name.replace(" ", "_") for name in FINE))


@pytest.mark.parametrize(
    ("write", "inside"),
    [
        (write_python, "."),
        (write_python, "cifar-100-python"),
        (write_binary, "."),
        (write_binary, "cifar-100-binary"),
    ],
)
def test_the_fine_labels_are_read_from_either_form(tmp_path, splits, write, inside):
    write(tmp_path / inside, splits)
    data = load_data(f"cifar100:{tmp_path}")
    np.testing.assert_array_equal(
        data.images, splits["train"][0].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    )
    np.testing.assert_array_equal(data.labels, splits["train"][1])
    np.testing.assert_array_equal(data.test.label, splits["test"][1])
    assert data.classes == 100
    assert data.class_names[42] == "fine_42"


def test_an_empty_file_of_names_is_refused(tmp_path, splits):
    write_binary(tmp_path, splits)
    (tmp_path / "fine_label_names.txt").write_text("\n")
    with pytest.raises(DataError, match=r"fine_label_names\.txt does not hold a class name"):
        load_data(f"cifar100:{tmp_path}")


def test_a_missing_file_is_named(tmp_path, splits):
    write_python(tmp_path, splits)
    (tmp_path / "train").unlink()
    with pytest.raises(DataError, match="lacks train; cifar100 needs"):
        load_data(f"cifar100:{tmp_path}")
