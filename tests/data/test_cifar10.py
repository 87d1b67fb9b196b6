import io
import pickle
import tarfile

import numpy as np
import pytest

from prune_kit.data.plain_pickle import read_plain_pickle
from prune_kit.data.spec import load_data
from prune_kit.errors import DataError
from tests.data.small_sets import Malicious, malicious_pickle, python2_pickle

NAMES = [
    b"airplane",
    b"automobile",
    b"bird",
    b"cat",
    b"deer",
    b"dog",
    b"frog",
    b"horse",
    b"ship",
    b"truck",
]
BATCHES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]


@pytest.fixture(scope="module")
def batches():
    """Planes (10, 3072) and labels per file, as the original files store them."""
    rng = np.random.default_rng(0)
    return {
        name: (
            rng.integers(0, 256, (10, 3072), dtype=np.uint8),
            [int(c) for c in rng.permutation(10)],
        )
        for name in BATCHES
    }


def python_files(batches, dump=python2_pickle):
    files = {
        name: dump({b"data": planes, b"labels": label}) for name, (planes, label) in batches.items()
    }
    return files | {"batches.meta": dump({b"label_names": NAMES, b"num_vis": 3072})}


def binary_files(batches):
    files = {
        f"{name}.bin": b"".join(
            bytes([c]) + row.tobytes() for row, c in zip(planes, label, strict=True)
        )
        for name, (planes, label) in batches.items()
    }
    return files | {"batches.meta.txt": b"\n".join(NAMES) + b"\n\n"}


def write(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def write_tar(path, files, inside):
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{inside}/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def check(data, batches):
    planes = np.concatenate([batches[name][0] for name in BATCHES[:5]])
    red, green, blue = (
        planes[13, part * 1024 : (part + 1) * 1024].reshape(32, 32) for part in range(3)
    )
    np.testing.assert_array_equal(data.images[13], np.dstack([red, green, blue]))
    np.testing.assert_array_equal(data.images, planes.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(
        data.labels, [c for name in BATCHES[:5] for c in batches[name][1]]
    )
    np.testing.assert_array_equal(data.test.label, batches["test_batch"][1])
    assert data.class_names == tuple(name.decode() for name in NAMES)
    assert data.ids[13] == b"train/13"


def python3_pickle(value):
    return pickle.dumps(value, protocol=4)


def numpy1_pickle(value):
    return pickle.dumps(value, protocol=2).replace(
        b"numpy._core.multiarray", b"numpy.core.multiarray"
    )


@pytest.mark.parametrize("inside", [".", "cifar-10-batches-py"])
@pytest.mark.parametrize("dump", [python2_pickle, numpy1_pickle, python3_pickle])
def test_the_python_files_are_read_in_original_order(tmp_path, batches, inside, dump):
    write(tmp_path / inside, python_files(batches, dump))
    check(load_data(f"cifar10:{tmp_path}"), batches)


@pytest.mark.parametrize("inside", [".", "cifar-10-batches-bin"])
def test_the_binary_files_hold_the_same_data(tmp_path, batches, inside):
    write(tmp_path / inside, binary_files(batches))
    check(load_data(f"cifar10:{tmp_path}"), batches)


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("form", ["python", "binary"])
def test_an_archive_is_read_where_it_lies_and_nothing_is_extracted(tmp_path, batches, form, named):
    files = python_files(batches) if form == "python" else binary_files(batches)
    inside = {"python": "cifar-10-batches-py", "binary": "cifar-10-batches-bin"}[form]
    path = write_tar(tmp_path / f"cifar-10-{form}.tar.gz", files, inside)
    check(load_data(f"cifar10:{path if named else tmp_path}"), batches)
    assert list(tmp_path.iterdir()) == [path]


def test_all_forms_have_one_fingerprint(tmp_path, batches):
    python = load_data(f"cifar10:{write(tmp_path / 'a', python_files(batches))}")
    binary = load_data(f"cifar10:{write(tmp_path / 'b', binary_files(batches))}")
    assert python.fingerprint == binary.fingerprint
    assert python.test.fingerprint == binary.test.fingerprint


def test_the_python_files_are_read_as_torchvision_reads_them(tmp_path, batches, monkeypatch):
    from torchvision.datasets import CIFAR10

    write(tmp_path / "cifar-10-batches-py", python_files(batches))
    monkeypatch.setattr(CIFAR10, "_check_integrity", lambda _: True)
    monkeypatch.setattr(CIFAR10, "_load_meta", lambda _: None)
    theirs = CIFAR10(tmp_path)
    ours = load_data(f"cifar10:{tmp_path}")
    np.testing.assert_array_equal(ours.images, theirs.data)
    np.testing.assert_array_equal(ours.labels, theirs.targets)


def test_a_pickle_that_names_a_function_is_refused_and_not_run(tmp_path, batches):
    files = python_files(batches) | {"data_batch_2": malicious_pickle(tmp_path / "made")}
    write(tmp_path, files)
    with pytest.raises(
        DataError, match=r"data_batch_2 names (posix|nt)\.mkdir, .* nothing was run"
    ):
        load_data(f"cifar10:{tmp_path}")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "name",
    [
        b"builtins\neval",
        b"numpy\nload",
        b"numpy.core.multiarray\nfromfile",
        b"os\nsystem",
        b"codecs\nencode",
    ],
)
def test_no_other_name_is_admitted(name):
    with pytest.raises(DataError, match=name.decode().replace("\n", r"\.")):
        read_plain_pickle(b"c" + name + b"\n.", "this file")


def test_an_odd_codec_is_refused():
    import _codecs

    content = pickle.dumps({"a": Malicious(_codecs.encode, "text", "rot13")}, protocol=2)
    with pytest.raises(DataError, match=r"this file encodes as 'rot13'; expected 'latin1'"):
        read_plain_pickle(content, "this file")


def test_an_array_that_lies_column_first_is_read_right():
    array = np.asfortranarray(np.arange(12, dtype=np.uint8).reshape(3, 4))
    np.testing.assert_array_equal(
        read_plain_pickle(pickle.dumps({"a": array}, protocol=2), "this file")["a"], array
    )


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"J\x02\0\0\0J", b"J\x03\0\0\0J", "holds an array whose shape and content do not agree"),
        (b"U\x02u1", b"U\x02O8", "holds an array of type b'O8'; expected bytes"),
    ],
)
def test_a_forged_array_is_refused(old, new, reason):
    content = python2_pickle({b"a": np.zeros((2, 5), np.uint8)})
    assert old in content
    with pytest.raises(DataError, match=f"this file {reason}"):
        read_plain_pickle(content.replace(old, new), "this file")


def test_a_forged_type_that_crashes_numpys_own_dtype_does_no_harm():
    content = python2_pickle({b"a": np.ones((2, 5), np.uint8)})
    forged = content.replace(b"U\x01|NNN", b"U\x01|q\x01N")  # two fields fewer than numpy reads
    assert forged != content
    np.testing.assert_array_equal(read_plain_pickle(forged, "this file")["a"], np.ones((2, 5)))


@pytest.mark.parametrize("keep", [0, 1, 100, 20_000])
def test_a_truncated_pickle_is_named(tmp_path, batches, keep):
    files = python_files(batches)
    files["data_batch_4"] = files["data_batch_4"][:keep]
    write(tmp_path, files)
    with pytest.raises(DataError, match="data_batch_4 is not a whole pickle"):
        load_data(f"cifar10:{tmp_path}")


def test_a_missing_file_is_named(tmp_path, batches):
    files = python_files(batches)
    del files["data_batch_3"], files["batches.meta"]
    write(tmp_path, files)
    with pytest.raises(DataError, match=r"lacks data_batch_3, batches\.meta; cifar10 needs"):
        load_data(f"cifar10:{tmp_path}")


@pytest.mark.parametrize("cut", [1, 3072])
def test_a_truncated_binary_file_is_named(tmp_path, batches, cut):
    files = binary_files(batches)
    files["data_batch_2.bin"] = files["data_batch_2.bin"][:-cut]
    write(tmp_path, files)
    with pytest.raises(
        DataError, match=r"data_batch_2\.bin has 30,?\d+ bytes|data_batch_2\.bin has 27,"
    ):
        load_data(f"cifar10:{tmp_path}")


def test_a_batch_cut_short_between_two_images_is_named(tmp_path, batches):
    files = binary_files(batches)
    files["data_batch_2.bin"] = files["data_batch_2.bin"][:-3073]
    write(tmp_path, files)
    with pytest.raises(
        DataError, match=r"data_batch_2\.bin holds 9 images, but data_batch_1\.bin holds 10"
    ):
        load_data(f"cifar10:{tmp_path}")


@pytest.mark.parametrize("keep", [0, 10, 5_000, 60_000])
def test_a_truncated_archive_is_named(tmp_path, batches, keep):
    path = write_tar(
        tmp_path / "cifar-10-binary.tar.gz", binary_files(batches), "cifar-10-batches-bin"
    )
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"cifar-10-binary\.tar\.gz is not a whole"):
        load_data(f"cifar10:{tmp_path}")


def test_an_archive_of_something_else_says_which_files_it_lacks(tmp_path):
    path = write_tar(tmp_path / "other.tar.gz", {"README": b"hello"}, "other")
    with pytest.raises(DataError, match=r"other\.tar\.gz lacks data_batch_1, .*batches\.meta"):
        load_data(f"cifar10:{path}")


def test_a_link_in_an_archive_is_not_followed(tmp_path, batches):
    path = write_tar(tmp_path / "cifar-10-binary.tar.gz", binary_files(batches), "x")
    with tarfile.open(path, "w:gz") as tar:
        member = tarfile.TarInfo("x/data_batch_1.bin")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(member)
    with pytest.raises(DataError, match=r"lacks data_batch_1"):
        load_data(f"cifar10:{path}")


@pytest.mark.parametrize("make", [False, True])
def test_a_folder_without_any_of_it_says_what_was_looked_for(tmp_path, make):
    folder = tmp_path / "here"
    if make:
        folder.mkdir()
    with pytest.raises(
        DataError,
        match=r"looked for cifar-10-python\.tar\.gz, or cifar-10-batches-py/ with data_batch_1",
    ):
        load_data(f"cifar10:{folder}")


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ({b"labels": [0]}, "does not have the entry 'data'; it has: labels"),
        ({b"data": b"abc", b"labels": [0]}, "the entry 'data' is bytes; expected uint8"),
        (
            {b"data": np.zeros((1, 7), np.uint8), b"labels": [0]},
            r"the entry 'data' is uint8 \(1, 7\); expected",
        ),
        (
            {b"data": np.zeros((1, 3072), np.uint8), b"labels": [0, 1]},
            "the entry 'labels' is not a list of 1 integers",
        ),
        (
            {b"data": np.zeros((1, 3072), np.uint8), b"labels": [b"x"]},
            "the entry 'labels' is not a list of 1 integers",
        ),
        ([0], "holds a list; expected a dictionary"),
    ],
)
def test_a_batch_with_other_entries_says_what_it_holds(tmp_path, batches, entries, reason):
    write(tmp_path, python_files(batches) | {"data_batch_1": python2_pickle(entries)})
    with pytest.raises(DataError, match=f"data_batch_1:? {reason}"):
        load_data(f"cifar10:{tmp_path}")


def test_a_meta_file_without_names_is_refused(tmp_path, batches):
    write(tmp_path, python_files(batches) | {"batches.meta": python2_pickle({b"num_vis": 3072})})
    with pytest.raises(DataError, match=r"batches\.meta does not have a list 'label_names'"):
        load_data(f"cifar10:{tmp_path}")
