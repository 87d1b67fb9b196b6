import errno
import json
import os
import subprocess
import sys

import h5py
import numpy as np
import pytest

from prune_kit.errors import FileError
from prune_kit.storage import files, hdf5
from tests.conftest import disk_of

OLD = b"what was there before"


@pytest.fixture
def old(tmp_path):
    """A file that was there before."""
    path = tmp_path / "scores.h5"
    path.write_bytes(OLD)
    return path


@pytest.fixture
def ours(tmp_path):
    """A small file of ours."""
    path = tmp_path / "scores.h5"
    with hdf5.writing_hdf5(path, "scores", {"data": "digits"}) as file:
        file["label"] = np.arange(5000)
    return path


def everything_in(folder):
    return sorted(path.name for path in folder.rglob("*"))


# replacing


def test_a_file_is_replaced_as_a_whole(old):
    with files.replacing(old) as temporary:
        assert temporary.parent == old.parent
        temporary.write_bytes(b"new")
        assert old.read_bytes() == OLD
    assert old.read_bytes() == b"new"
    assert everything_in(old.parent) == ["scores.h5"]


def test_the_folders_of_a_new_file_are_made(tmp_path):
    files.write_bytes(tmp_path / "deep" / "down" / "file", b"new")
    assert (tmp_path / "deep" / "down" / "file").read_bytes() == b"new"


@pytest.mark.parametrize("error", [ValueError("a bug"), KeyboardInterrupt()])
def test_what_was_there_stays_when_the_block_fails_and_the_error_goes_on(old, error):
    with pytest.raises(type(error)), files.replacing(old) as temporary:
        temporary.write_bytes(b"half of it")
        raise error
    assert old.read_bytes() == OLD
    assert everything_in(old.parent) == ["scores.h5"]


def test_what_was_there_stays_when_the_disk_is_full(old):
    with disk_of(1000), pytest.raises(FileError) as caught:
        files.write_bytes(old, b"x" * 5000)
    assert (
        str(caught.value)
        == f"cannot write {old}: File too large. What was there before is unchanged"
    )
    assert old.read_bytes() == OLD
    assert everything_in(old.parent) == ["scores.h5"]


def test_what_was_there_stays_when_the_disk_is_full_of_hdf5(old):
    with (
        disk_of(1000),
        pytest.raises(FileError, match="unchanged"),
        hdf5.writing_hdf5(old, "scores", {}) as file,
    ):
        file["label"] = np.arange(5000)
    assert old.read_bytes() == OLD
    assert everything_in(old.parent) == ["scores.h5"]


def test_what_was_there_stays_when_the_disk_is_full_only_at_the_flush(old, monkeypatch):
    def no_space(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(FileError, match="No space left on device"):
        files.write_bytes(old, b"new")
    assert old.read_bytes() == OLD
    assert everything_in(old.parent) == ["scores.h5"]


def test_no_hdf5_file_appears_when_its_making_fails(old):
    with pytest.raises(ValueError, match="a bug"), hdf5.writing_hdf5(old, "scores", {}):
        raise ValueError("a bug")
    assert old.read_bytes() == OLD


def test_a_folder_that_is_a_file_cannot_be_written_to(old):
    with pytest.raises(FileError) as caught:
        files.write_bytes(old / "new", b"new")
    assert str(old / "new") in str(caught.value)
    assert "\n" not in str(caught.value)
    assert old.read_bytes() == OLD


def test_a_file_does_not_replace_a_folder(tmp_path):
    (tmp_path / "target").mkdir()
    with pytest.raises(FileError, match="cannot write"):
        files.write_bytes(tmp_path / "target", b"new")
    assert everything_in(tmp_path) == ["target"]


@pytest.mark.parametrize("name", ["", ".", "/"])
def test_a_path_without_a_name_cannot_be_written(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileError, match="cannot write"):
        files.write_bytes(files.Path(name), b"new")
    assert everything_in(tmp_path) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_without_write_permission_is_refused(old):
    old.parent.chmod(0o555)
    try:
        with pytest.raises(FileError, match="Permission denied"):
            files.write_bytes(old, b"new")
    finally:
        old.parent.chmod(0o755)
    assert old.read_bytes() == OLD


# JSON and arrays


def test_json_and_arrays_come_back(tmp_path):
    files.write_json(tmp_path / "a.json", {"größe": [1, 2.5, None]})
    assert files.read_json(tmp_path / "a.json") == {"größe": [1, 2.5, None]}
    files.write_arrays(tmp_path / "a.npz", {"one": np.arange(3), "other": np.eye(2)})
    np.testing.assert_array_equal(files.read_array(tmp_path / "a.npz", "one"), [0, 1, 2])
    np.testing.assert_array_equal(files.read_array(tmp_path / "a.npz", "other"), np.eye(2))


@pytest.mark.parametrize("content", [None, b"", b"{", b"\xff\xfe", b"PK\x03\x04"])
def test_json_and_arrays_that_cannot_be_read_are_named(tmp_path, content):
    path = tmp_path / "broken"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FileError, match=r"cannot read .*broken"):
        files.read_json(path)
    with pytest.raises(FileError, match=r"cannot read 'values' from .*broken"):
        files.read_array(path, "values")


def test_an_array_of_objects_is_not_unpickled(tmp_path):
    np.savez(tmp_path / "a.npz", values=np.array([{"a": 1}], dtype=object))
    with pytest.raises(FileError, match="allow_pickle"):
        files.read_array(tmp_path / "a.npz", "values")


def test_texts_are_utf8_of_one_width():
    texts = hdf5.text_array(["a", "größe", ""])
    assert texts.dtype.kind == "S"
    assert [text.decode() for text in texts] == ["a", "größe", ""]
    assert hdf5.text_array(texts) is texts


# reading_hdf5


def refusal(path, kind="scores"):
    with pytest.raises(FileError) as caught, hdf5.reading_hdf5(path, kind, "prune-kit score"):
        pass
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def test_our_own_file_is_read(ours):
    for kind in ("scores", None):
        with hdf5.reading_hdf5(ours, kind) as file:
            assert file.attrs["data"] == "digits"
            np.testing.assert_array_equal(file["label"][()], np.arange(5000))


def test_a_missing_file_is_refused_with_the_command_that_makes_it(tmp_path):
    assert (
        refusal(tmp_path / "none.h5")
        == f"there is no file {tmp_path / 'none.h5'}. Make it with: prune-kit score"
    )
    assert refusal(tmp_path) == f"{tmp_path} is a folder; name a file in it"


@pytest.mark.parametrize("content", [b"", b"index\n1\n2\n", b"\x89HDF\r\n\x1a\n"])
def test_a_file_that_is_no_hdf5_is_refused(tmp_path, content):
    (tmp_path / "a.h5").write_bytes(content)
    assert "is not a whole HDF5 file" in refusal(tmp_path / "a.h5")


def test_a_truncated_file_is_refused_wherever_it_was_cut(ours):
    whole = ours.read_bytes()
    for count in {1, 8, 100, 2000, len(whole) // 2, len(whole) - 100}:
        ours.write_bytes(whole[:count])
        assert "is not a whole HDF5 file" in refusal(ours)
    for count in (1, 30, 60):  # of the checksum, which stands last
        ours.write_bytes(whole[:-count])
        assert "is damaged: its checksum does not hold" in refusal(ours)


def test_a_file_says_whether_it_is_what_was_written(ours):
    assert files.checksum_holds(ours) is True
    whole = ours.read_bytes()
    for place in np.random.default_rng(0).integers(0, len(whole), 50):
        ours.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert files.checksum_holds(ours) in (False, None)
        if place < len(whole) - 100:
            assert "is damaged: its checksum does not hold" in refusal(ours)


def test_a_file_of_this_format_that_others_wrote_needs_no_checksum(ours, tmp_path):
    with h5py.File(ours) as file, h5py.File(tmp_path / "other.h5", "w") as other:
        other.attrs.update(file.attrs)
        file.copy("label", other)
    assert files.checksum_holds(tmp_path / "other.h5") is None
    with hdf5.reading_hdf5(tmp_path / "other.h5", "scores") as other:
        assert len(other["label"]) == 5000


def test_a_file_that_claims_more_than_it_holds_is_refused_before_memory_is_taken(ours):
    with h5py.File(ours, "r+") as file:
        file.create_dataset("huge", shape=(10**12,), dtype="f8", chunks=(10**6,))
    assert "'huge' claims 1,000,000,000,000 values in 0 bytes" in refusal(ours)


def test_an_array_that_lies_in_another_file_is_refused(ours, tmp_path):
    (tmp_path / "secret").write_bytes(b"0" * 80)
    with h5py.File(ours, "r+") as file:
        file.create_dataset(
            "far", shape=(10,), dtype="f8", external=[(str(tmp_path / "secret"), 0, 80)]
        )
    assert "'far' lies in another file" in refusal(ours)


def sealed(path, content):
    """The content at `path`, with a checksum that holds."""
    files.write_checked(path, memoryview(content))
    assert files.checksum_holds(path)


def test_an_attribute_of_a_type_that_crashes_the_library_is_refused(ours, tmp_path):
    content = bytearray(ours.read_bytes().split(b"\nprune_kit blake2b ")[0])
    names = [
        place for place in range(len(content)) if content.startswith(b"data\0\0\0\0\x19\x01", place)
    ]
    content[names[0] + 9] = 0xFF  # texts of varying length are now sequences of no known kind
    sealed(ours, content)
    assert "'/' has an attribute of a type that none has" in refusal(ours)


@pytest.mark.parametrize(
    ("name", "told"),
    [("format", "an HDF5 file of another program"), ("format_version", "has format version None")],
)
def test_a_format_of_an_odd_type_is_that_of_another_program(ours, name, told):
    value = np.empty(1, dtype=object)
    value[0] = np.array([1, 2])
    with h5py.File(ours, "r+") as file:
        file.attrs.create(name, value, dtype=h5py.vlen_dtype(int))
    sealed(ours, ours.read_bytes())
    assert told in refusal(ours)
    assert hdf5.kind_of(ours) == ("" if name == "format" else "scores")


def test_a_data_set_of_sequences_is_refused(ours):
    with h5py.File(ours, "r+") as file:
        file.create_dataset("odd", (2,), dtype=h5py.vlen_dtype(int))
    sealed(ours, ours.read_bytes())
    assert "'odd' is not an array of numbers or texts" in refusal(ours)


def test_a_heap_of_texts_that_leads_nowhere_is_refused_whatever_the_checksum_says(ours):
    content = bytearray(ours.read_bytes().split(b"\nprune_kit blake2b ")[0])
    heap = content.index(b"GCOL\x01")
    content[heap + 16 + 8 : heap + 16 + 16] = b"\xff" * 8  # the size of its first text
    sealed(ours, content)
    assert "its texts, at byte" in refusal(ours)


def test_temporary_files_of_the_dead_go_and_those_of_the_living_stay(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left = tmp_path / "runs" / f".a.npz.{dead.pid}-{'0' * 12}.tmp"
    others = [tmp_path / f".a.h5.{os.getpid()}-{'0' * 12}.tmp", tmp_path / ".editor.tmp"]
    left.parent.mkdir()
    for path in (left, *others):
        path.touch()
    files.remove_leftovers(tmp_path)
    assert not left.exists() and all(path.exists() for path in others)


@pytest.mark.parametrize("value", [None, "keras", np.bytes_(b"keras"), 3.5, h5py.Empty("f")])
def test_a_file_of_another_program_is_refused(tmp_path, value):
    path = tmp_path / "weights.h5"
    with h5py.File(path, "w") as file:
        if value is not None:
            file.attrs["format"] = value
    expected = "expected prune_kit.scores, which prune-kit score writes"
    told = refusal(path)
    assert expected in told
    assert ("keras" if value == "keras" else "an HDF5 file of another program") in told
    assert "expected prune_kit.*" in refusal(path, None)


def test_a_file_of_another_kind_is_refused(ours):
    assert refusal(ours, "selection") == (
        f"{ours} is prune_kit.scores; expected prune_kit.selection, which prune-kit score writes"
    )


@pytest.mark.parametrize("version", [None, 2, 0, "1", np.arange(3)])
def test_a_file_of_another_version_is_refused(ours, version):
    with h5py.File(ours, "r+") as file:
        del file.attrs["format_version"]
        if version is not None:
            file.attrs["format_version"] = version
    assert "this prune-kit reads version 1" in refusal(ours)
    assert "this prune-kit reads version 1" in refusal(ours, None)


@pytest.mark.parametrize(
    "read",
    [
        lambda file: file["scores"],
        lambda file: file.attrs["class_names"],
        lambda file: file["label"]["el2n@20"],
        lambda file: json.loads(file.attrs["data"]),
    ],
)
def test_what_a_file_lacks_or_garbles_is_told_as_damage(ours, read):
    with (
        pytest.raises(FileError, match="is incomplete or damaged"),
        hdf5.reading_hdf5(ours, "scores") as file,
    ):
        read(file)


def test_an_attribute_and_a_format_stand_in_every_file(ours):
    with h5py.File(ours) as file:
        assert dict(file.attrs) == {
            "format": "prune_kit.scores",
            "format_version": 1,
            "data": "digits",
        }
