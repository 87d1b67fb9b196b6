"""Files that a command must not write over, and what it says."""

from pathlib import Path

import pytest

from prune_kit.storage import hdf5
from prune_kit_cli.main import exit_code
from tests.small_tables import table_of

EXPORT = ["export", "--selection", "{}/selection.h5"]


@pytest.fixture
def workdir(tmp_path: Path) -> Path:
    table_of(list(range(20))).write(tmp_path / "scores.h5")
    assert exit_code(["select", "--keep", "0.5", "--quiet", "--workdir", str(tmp_path)]) == 0
    (tmp_path / "thesis.h5").write_text("chapter 1")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine.txt").write_text("mine")
    (tmp_path / "lists" / "selection-keep.txt").mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["corrupt", "--out", "noisy.csv"], "this file is HDF5; name it noisy.h5"),
        (["corrupt", "--out", "{}/selection.h5"], "is there already, and is no labels file"),
        (["corrupt", "--out", "{}/thesis.h5"], "is there already, and is no labels file"),
        (["select", "--out", "{}/scores.h5"], "is there already, and is no selection file"),
        (["select", "--out", "{}/folder"], "is there already, and is no selection file"),
        (["sweep", "--out", "{}/thesis.h5"], "is there already, and is no outcomes file"),
        (["tune", "--out", "{}/thesis.h5"], "is there already, and is no selection file"),
        (
            ["clean", "--remove", "0.1", "--out", "{}/selection.h5"],
            "is there already, and is no removal file",
        ),
        (
            [*EXPORT, "--out", "{}/selection.h5", "--format", "txt"],
            "is there already, and is an HDF5 file",
        ),
        (
            [*EXPORT, "--out", "{}/scores.h5", "--format", "npy"],
            "is there already, and is an HDF5 file",
        ),
        (
            [*EXPORT, "--out", "{}/lists/", "--format", "txt"],
            "selection-keep.txt is there already, and is no regular file",
        ),
        (
            [*EXPORT, "--out", "{}/folder", "--format", "hf"],
            "/folder is there already, and is not empty; remove it, or name another",
        ),
        (
            [*EXPORT, "--out", "{}/thesis.h5", "--format", "hf"],
            "/thesis.h5 is there already, and is no folder; name another",
        ),
    ],
)
def test_what_is_there_and_another_kind_of_file_is_left_as_it_is(
    workdir: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    before = {path: path.read_bytes() for path in workdir.iterdir() if path.is_file()}
    code = exit_code([word.format(workdir) for word in words] + ["--workdir", str(workdir)])
    out, err = capsys.readouterr()
    assert code == 2 and out == "" and message in err and len(err.strip().splitlines()) == 1
    assert {path: path.read_bytes() for path in workdir.iterdir() if path.is_file()} == before


def test_info_tells_the_other_files_when_one_is_damaged(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = (workdir / "scores.h5").read_bytes()
    (workdir / "another.h5").write_bytes(whole[: len(whole) // 2])
    assert exit_code(["info", "--workdir", str(workdir)]) == 2
    out, err = capsys.readouterr()
    assert "selection.h5: selection" in out and "scores.h5: scores" in out
    assert "another.h5" in err and "thesis.h5" in err and len(err.strip().splitlines()) == 2


def test_info_of_a_large_table_says_the_same_from_a_glance(
    workdir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["info", str(workdir / "scores.h5")]
    assert exit_code(words) == 0
    small = capsys.readouterr().out
    monkeypatch.setattr(hdf5, "CHECKED_BYTES", 0)
    assert exit_code(words) == 0
    assert capsys.readouterr().out == small
