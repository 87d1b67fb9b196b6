import numpy as np
import pytest

from prune_kit.data.identity import array_digests
from prune_kit.data.sources import npz
from prune_kit.data.spec import load_data
from prune_kit.errors import DataError, OptionError

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (20, 5, 6), dtype=np.uint8)
Y = np.arange(20) % 4
TEST = {"x_test": X[:3], "y_test": Y[:3]}


def save(folder, **arrays):
    path = folder / "mine.npz"
    np.savez(path, **arrays)
    return f"npz:{path}"


def test_grey_images_without_a_test_part_keep_their_rows(tmp_path):
    data = load_data(save(tmp_path, x_train=X, y_train=Y))
    np.testing.assert_array_equal(data.images, X[..., None])
    np.testing.assert_array_equal(data.labels, Y)
    np.testing.assert_array_equal(data.rows.digest, array_digests(X))
    assert data.class_names == ("0", "1", "2", "3")
    assert data.ids[3] == b"train/3"
    assert np.bincount(data.test.label).tolist() == [1, 1, 1, 1]


def test_all_arrays_are_used(tmp_path):
    colour = np.dstack([X[..., None]] * 1).repeat(3, axis=3)
    names, ids = np.array(["a", "b", "c", "é"]), np.array([f"file {row}" for row in range(20)])
    spec = save(
        tmp_path,
        x_train=colour,
        y_train=Y[:, None],
        x_test=colour[:4],
        y_test=Y[:4, None],
        class_names=names,
        ids=ids,
    )
    data = load_data(spec)
    assert data.shape == (5, 6, 3)
    assert data.class_names == ("a", "b", "c", "é")
    assert data.ids[19] == b"file 19"
    assert data.test.label.tolist() == [0, 1, 2, 3]
    assert not data.rows.role.any()


@pytest.mark.parametrize("names", [np.array([b"a", b"b", b"c", b"d"]), np.array([7, 8, 9, 10])])
def test_class_names_may_be_bytes_or_numbers(tmp_path, names):
    data = load_data(save(tmp_path, x_train=X, y_train=Y, class_names=names))
    assert data.class_names in (("a", "b", "c", "d"), ("7", "8", "9", "10"))


def test_other_arrays_in_the_file_are_left_alone(tmp_path):
    assert len(load_data(save(tmp_path, x_train=X, y_train=Y, notes=np.array([None])))) == 20


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        (
            {"images": X, "y_train": Y},
            "lacks x_train; it has: images, y_train. Required are x_train and y_train",
        ),
        ({"images": X}, "lacks x_train and y_train; it has: images"),
        ({"x_train": X, "y_train": Y, "x_test": X}, "has x_test, but it lacks y_test"),
        ({"x_train": X, "y_train": Y, "y_test": Y}, "has y_test, but it lacks x_test"),
        ({"x_train": X, "y_train": np.array([None] * 20)}, "y_train is an array of Python objects"),
        ({"x_train": X / 255, "y_train": Y}, r"are float64 \(20, 5, 6, 1\); expected uint8"),
        ({"x_train": X.reshape(20, 30), "y_train": Y}, r"are uint8 \(20, 30\); expected uint8"),
        ({"x_train": X[..., None].repeat(2, 3), "y_train": Y}, r"are uint8 \(20, 5, 6, 2\)"),
        ({"x_train": X, "y_train": Y[:19]}, r"labels have shape \(19,\); expected \(20,\)"),
        ({"x_train": X, "y_train": np.eye(4)[Y].astype(int)}, r"labels have shape \(20, 4\)"),
        ({"x_train": X, "y_train": Y / 2}, "labels are float64; expected integers"),
        ({"x_train": X, "y_train": Y.astype(str)}, "labels are <U21; expected integers"),
        ({"x_train": X, "y_train": Y - 1}, "label -1 in row 0 is out of range"),
        (
            {"x_train": X, "y_train": Y * 10**12},
            "label 3000000000000 is out of range; 20 images have at most 20 classes",
        ),
        ({"x_train": X, "y_train": Y * 0}, "one class only"),
        ({"x_train": X, "y_train": np.where(Y == 2, 4, Y)}, r"class 2 \('2'\) is empty"),
        (
            {"x_train": X, "y_train": Y, "class_names": ["a", "b", "c"]},
            r"label 3 in row 3 is out of range 0 \.\. 2",
        ),
        ({"x_train": X, "y_train": Y, "class_names": list("abcde")}, r"class 4 \('e'\) is empty"),
        (
            {"x_train": X, "y_train": Y, "class_names": [["a", "b"]]},
            "class_names is <U1 .*expected a list of texts",
        ),
        (
            {"x_train": X, "y_train": Y, "class_names": [b"\xff", b"b"]},
            "class_names holds bytes that are not UTF-8",
        ),
        ({"x_train": X, "y_train": Y, "ids": ["a"]}, "1 ids for 20 images"),
        ({"x_train": X, "y_train": Y, "x_test": X[:, :3], "y_test": Y}, "test images are"),
        (
            {"x_train": X, "y_train": Y, "x_test": X[:0], "y_test": Y[:0]},
            "test set: the images: the array is empty",
        ),
        ({"x_train": X[:0], "y_train": Y[:0]}, "the images: the array is empty"),
        ({"x_train": X[:4], "y_train": Y[:4]}, "too few to hold out a fifth"),
    ],
)
def test_what_is_missing_or_wrong_is_said_in_one_line(tmp_path, arrays, reason):
    with pytest.raises(DataError, match=reason) as caught:
        load_data(save(tmp_path, **arrays))
    assert "mine.npz" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"the file .*none\.npz does not exist"):
        load_data(f"npz:{tmp_path / 'none.npz'}")


@pytest.mark.parametrize("content", [b"", b"hello", b"\x93NUMPY\x01\x00"])
def test_a_file_of_another_kind_is_named(tmp_path, content):
    path = tmp_path / "mine.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"mine\.npz is not an \.npz file"):
        load_data(f"npz:{path}")


@pytest.mark.parametrize("compressed", [True, False])
def test_a_damaged_file_is_named(tmp_path, compressed):
    path = tmp_path / "mine.npz"
    (np.savez_compressed if compressed else np.savez)(path, x_train=X, y_train=Y)
    content = bytearray(path.read_bytes())
    content[250] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"mine\.npz"):
        load_data(f"npz:{path}")
    path.write_bytes(content[:-30])
    with pytest.raises(DataError, match=r"mine\.npz is not an \.npz file, or it is damaged"):
        load_data(f"npz:{path}")


def test_an_image_size_is_for_folders_only(tmp_path):
    with pytest.raises(OptionError, match="`image_size` is for data='folder'"):
        load_data(save(tmp_path, x_train=X, y_train=Y), image_size=32)


def test_large_arrays_stay_in_the_file(tmp_path, monkeypatch):
    spec = save(tmp_path, x_train=X, y_train=Y, **TEST)
    small = load_data(spec)
    monkeypatch.setattr(
        npz, "LARGE_BYTES", 600
    )  # the 20 training images are larger, the 3 test images are not
    large = load_data(spec)
    assert [is_mapped(data.images) for data in (small, large)] == [False, True]
    assert not is_mapped(large.test.pool)
    np.testing.assert_array_equal(large.images, small.images)
    assert (large.fingerprint, large.test.fingerprint) == (
        small.fingerprint,
        small.test.fingerprint,
    )


def test_large_arrays_that_are_compressed_or_of_columns_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(npz, "LARGE_BYTES", 0)
    path = tmp_path / "packed.npz"
    np.savez_compressed(path, x_train=X, y_train=Y)
    np.testing.assert_array_equal(load_data(f"npz:{path}").images, X[..., None])
    np.testing.assert_array_equal(
        load_data(save(tmp_path, x_train=np.asfortranarray(X), y_train=Y)).images[..., 0], X
    )


def test_a_large_array_that_is_cut_short_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(npz, "LARGE_BYTES", 0)
    spec = save(tmp_path, x_train=X, y_train=Y)
    path = tmp_path / "mine.npz"
    path.write_bytes(path.read_bytes().replace(b"(20, 5, 6)", b"(21, 5, 6)"))
    with pytest.raises(
        DataError,
        match=r"x_train cannot be read: its length does not agree with its shape \(21, 5, 6\)",
    ):
        load_data(spec)


def is_mapped(array):
    while isinstance(array.base, np.ndarray) and not isinstance(array, np.memmap):
        array = array.base
    return isinstance(array, np.memmap)
