"""What the command `export` writes where, and what it says of it."""

import json
from pathlib import Path

import pytest

from prune_kit_cli.main import exit_code
from tests.exporters.test_images import TREE, rows_in, source
from tests.small_tables import KEPT, removal_of, selection_of


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a selection of a folder of images in one workdir, and of arrays in another."""
    monkeypatch.chdir(tmp_path)
    source(tmp_path / "images").write(tmp_path / "work" / "selection.h5")
    selection_of([KEPT] * 3).write(tmp_path / "arrays" / "selection.h5")
    return tmp_path


def export(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = exit_code(["export", *words])
    out, err = capsys.readouterr()
    return code, " ".join(out.split()), " ".join(err.split())


@pytest.mark.parametrize(
    ("format", "name", "as_what"),
    [
        ("files", "selection-keep-files.txt", "as paths of files of folder:"),
        ("folder", "selection-keep-folder", "as image files of folder:"),
        ("hf", "selection-keep-hf", "as Hugging Face data of folder:"),
    ],
)
def test_an_export_of_images_has_a_usual_name(place, capsys, format, name, as_what):
    code, out, _ = export(capsys, "--format", format, "--workdir", "work")
    assert code == 0 and (place / "work" / name).exists()
    assert out.startswith(f"wrote work/{name}: the 4 rows to keep, {as_what}")


@pytest.mark.parametrize(
    ("out", "words", "written"),
    [
        ("lists/", [], "lists/selection-keep.txt"),
        ("lists/", ["--format", "npy"], "lists/selection-keep.npy"),
        ("lists/", ["--format", "csv"], "lists/selection.csv"),
        ("lists/", ["--format", "json", "--what", "drop"], "lists/selection-drop.json"),
        ("lists/new.npy/", [], "lists/new.npy/selection-keep.npy"),
        ("lists/", ["--format", "files"], "lists/selection-keep-files.txt"),
        ("lists", [], "lists"),
        ("tree/", ["--format", "folder"], "tree"),
        ("tree", ["--format", "hf"], "tree"),
    ],
)
def test_out_with_a_slash_at_its_end_is_a_folder(place, capsys, out, words, written):
    code, told, _ = export(capsys, "--out", out, "--workdir", "work", "--json", *words)
    assert code == 0 and json.loads(told)["file"] == written
    assert (place / written).exists()


def test_the_list_of_a_removal_in_a_folder_is_not_the_list_of_suspects(place, capsys):
    removal_of([1], [0], label=[0, 1, 0]).write(place / "other" / "removal.h5")
    before = (place / "other" / "removal.csv").read_bytes()
    for out in ("other/",):
        code, told, _ = export(
            capsys, "--format", "csv", "--out", out, "--workdir", "other", "--json"
        )
        assert code == 0 and json.loads(told)["file"] == "other/removal-rows.csv"
    assert (place / "other" / "removal.csv").read_bytes() == before


def test_copies_are_made_with_the_test_rows(place, capsys):
    words = ["--format", "folder", "--copy", "--with-test", "--out", "tree", "--workdir", "work"]
    assert export(capsys, *words)[0] == 0
    assert rows_in(place / "tree" / "train") == TREE["keep"]
    assert not any(path.is_symlink() for path in (place / "tree").rglob("*"))


def test_images_that_were_moved_are_named_anew(place, capsys):
    (place / "images").rename(place / "moved")
    words = ["--format", "folder", "--out", "tree", "--workdir", "work"]
    code, _, err = export(capsys, *words)
    assert code == 2 and "say where they are: --data folder:DIR" in err
    assert export(capsys, *words, "--data", "folder:moved")[0] == 0
    assert rows_in(place / "tree") == TREE["keep"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--format", "folder"], "--format folder is for a folder of images, and the data are npz"),
        (["--format", "files"], "the formats txt, npy, json and csv have row numbers"),
        (["--format", "hf", "--copy"], "--copy is for a folder of images"),
        (["--copy"], "--format txt takes no --copy. --copy is for --format folder,hf"),
        (["--relabel", "labels.npy", "--copy"], "--relabel requires a removal"),
    ],
)
def test_what_does_not_fit_is_one_line(place, capsys, words, told):
    before = sorted(place.rglob("*"))
    code, out, err = export(capsys, *words, "--workdir", "arrays")
    assert code == 2 and out == "" and told in err and err.count("error:") == 1
    assert sorted(place.rglob("*")) == before
