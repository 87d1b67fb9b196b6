import gzip
import struct

import numpy as np
import pytest

from prune_kit.data.identity import array_digests
from prune_kit.data.idx import read_idx
from prune_kit.data.spec import load_data
from prune_kit.errors import DataError
from tests.data.small_sets import idx_bytes, write_idx_folder


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("name", ["{}-idx{}-ubyte", "{}.idx{}-ubyte"])
@pytest.mark.parametrize("inside", [".", "raw", "MNIST/raw"])
def test_the_four_files_are_found_in_every_usual_place_and_name(tmp_path, inside, name, zipped):
    images, label = write_idx_folder(tmp_path / inside, name=name, zipped=zipped)
    data = load_data(f"mnist:{tmp_path}")
    np.testing.assert_array_equal(data.images[..., 0], images)
    np.testing.assert_array_equal(data.labels, label)
    assert data.shape == (6, 6, 1)
    assert data.class_names == tuple("0123456789")
    assert len(data.test.label) == 10


def test_ids_and_digests_are_those_of_the_original_order(tmp_path):
    images, _ = write_idx_folder(tmp_path)
    data = load_data(f"mnist:{tmp_path}")
    assert data.ids[7] == b"train/7"
    assert data.test.id[0] == b"test/0"
    np.testing.assert_array_equal(data.rows.digest, array_digests(images))


def test_a_file_that_a_browser_unzipped_but_did_not_rename_is_read(tmp_path):
    write_idx_folder(tmp_path)
    path = tmp_path / "train-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.decompress(path.read_bytes()))
    assert len(load_data(f"mnist:{tmp_path}")) == 30


def test_a_missing_folder_is_named_with_the_files_that_it_should_hold(tmp_path):
    with pytest.raises(
        DataError, match=r"the folder .*nowhere does not exist.*train-images-idx3-ubyte\[\.gz\]"
    ):
        load_data(f"mnist:{tmp_path / 'nowhere'}")


def test_an_empty_folder_says_where_the_files_were_looked_for(tmp_path):
    with pytest.raises(DataError, match=r"lacks t10k-images.*raw and MNIST/raw were searched, too"):
        load_data(f"mnist:{tmp_path}")


def test_one_missing_file_is_named(tmp_path):
    write_idx_folder(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match=r"lacks t10k-labels-idx1-ubyte\[\.gz\]"):
        load_data(f"mnist:{tmp_path}")


@pytest.mark.parametrize("keep", [2, 40, 200])
def test_a_truncated_gz_is_named(tmp_path, keep):
    write_idx_folder(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz cannot be read"):
        load_data(f"mnist:{tmp_path}")


def test_a_gz_with_a_flipped_byte_is_named(tmp_path):
    write_idx_folder(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz"):
        load_data(f"mnist:{tmp_path}")


IMAGES = idx_bytes(np.zeros((3, 2, 2), np.uint8))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "begins with nothing"),
        (b"<html>", "begins with 3c68746d; expected 00000803"),
        (IMAGES[:10], "begins with 00000803"),
        (idx_bytes(np.zeros(3, np.uint8)), "begins with 00000801; expected 00000803"),
        (b"\0\0\x0d\x03" + IMAGES[4:], "begins with 00000d03"),
        (IMAGES[:-1], "says that it holds 3 x 2 x 2 bytes, but it holds 11"),
        (IMAGES + b"\0", "says that it holds 3 x 2 x 2 bytes, but it holds 13"),
        (IMAGES[:4] + struct.pack(">3I", *(2**32 - 1,) * 3), "says that it holds 4294967295 x"),
    ],
)
def test_a_file_that_is_not_what_it_says_is_refused_by_name(tmp_path, content, reason):
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"train-images-idx3-ubyte {reason}"):
        read_idx(path, 3)


def test_more_labels_than_images_are_refused(tmp_path):
    write_idx_folder(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(
        gzip.compress(idx_bytes(np.zeros(31, np.uint8)))
    )
    with pytest.raises(DataError, match=r"labels have shape \(31,\); expected \(30,\)"):
        load_data(f"mnist:{tmp_path}")


def test_a_label_out_of_range_is_refused(tmp_path):
    write_idx_folder(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(
        gzip.compress(idx_bytes(np.full(30, 10, np.uint8)))
    )
    with pytest.raises(DataError, match=r"label 10 in row 0 is out of range 0 \.\. 9"):
        load_data(f"mnist:{tmp_path}")
