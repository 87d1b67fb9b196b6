"""Formats for a folder of images: paths, a tree of classes, and what Hugging Face datasets reads.

The images are a few bytes; no format decodes them.
"""

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from torchvision.datasets import ImageFolder

from prune_kit import pipeline
from prune_kit.data.identity import content_digests
from prune_kit.errors import DataError, FileError, IdentityError, OptionError, PruneKitError
from prune_kit.results.selection import DROPPED_EASY, HELD_OUT_REASON, KEPT, Selection
from tests.small_tables import removal_of, rows_of, selection_of

NAMES = ("cat", "dog ß")
# id, label, reason; the third has been relabelled
ROWS = [
    ("cat/a.png", 0, KEPT),
    ("cat/deep/b.png", 0, KEPT),
    ('cat/c, "quoted".png', 1, KEPT),
    ("cat/d.png", 0, DROPPED_EASY),
    ("dog ß/a.png", 1, KEPT),
    ("dog ß/e.png", 1, HELD_OUT_REASON),
    ("cat/f.png", 0, HELD_OUT_REASON),
]
TREE = {
    "keep": {
        "cat/a.png": 0, "cat/b.png": 1, 'dog ß/c, "quoted".png': 2, "dog ß/a.png": 4,
    },
    "drop": {"cat/d.png": 3},
}  # fmt: skip
TEST = {"dog ß/e.png": 5, "cat/f.png": 6}
TREES = ["folder", "hf"]
both = pytest.mark.parametrize("what", TREE)
linked_or_copied = pytest.mark.parametrize("copy", [False, True])
every_tree = pytest.mark.parametrize("format", TREES)


def source(root: Path, listed=ROWS, names=NAMES, held_out=True) -> Selection:
    """A selection over files that are written here; each holds the number of its row."""
    for row, (name, _, _) in enumerate(listed):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"image %d" % row)
    reason = np.array([reason for _, _, reason in listed])
    rows = rows_of(
        [label for _, label, _ in listed],
        ids=[name for name, _, _ in listed],
        digest=content_digests(b"image %d" % row for row in range(len(listed))),
        role=(reason == HELD_OUT_REASON) & held_out,
        class_names=names,
        data=f"folder:{root}",
    )
    return selection_of(reason, rows=rows)


@pytest.fixture
def selection(tmp_path):
    return source(tmp_path / "images")


def rows_in(folder: Path) -> dict[str, int]:
    """What a tree holds: the path of each image, and the row that its content is of."""
    return {
        path.relative_to(folder).as_posix(): int(path.read_bytes().split()[1])
        for path in folder.rglob("*")
        if path.is_file() and path.suffix not in (".csv", ".json")
    }


def metadata(folder: Path) -> dict[str, str]:
    with (folder / "metadata.csv").open(newline="", encoding="utf-8") as file:
        lines = list(csv.reader(file))
    assert lines[0] == ["file_name", "label"]
    return dict(lines[1:])


# paths


@both
def test_files_lists_paths_that_open_from_anywhere(selection, tmp_path, monkeypatch, what):
    path = pipeline.export(selection, tmp_path / "list.txt", format="files", what=what)
    monkeypatch.chdir("/")
    lines = path.read_text("utf-8").splitlines()
    assert [int(Path(line).read_bytes().split()[1]) for line in lines] == list(TREE[what].values())
    assert all(Path(line).is_absolute() for line in lines)


def test_a_name_that_is_no_utf8_is_written_as_it_is(tmp_path):
    name = b"cat/\xff.png"
    (tmp_path / "cat").mkdir()
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(b"image 0")
    rows = rows_of([0], ids=np.array([name]), class_names=("cat",), data=f"folder:{tmp_path}")
    pipeline.export(selection_of([KEPT], rows=rows), tmp_path / "list", format="files")
    assert (tmp_path / "list").read_bytes() == os.fsencode(tmp_path) + b"/" + name + b"\n"


def test_a_path_of_two_lines_is_refused(tmp_path):
    broken = source(tmp_path / "images", [("cat/a\nb.png", 0, KEPT)])
    with pytest.raises(OptionError, match=r"a\\nb.png' is more than one line; format='json'"):
        pipeline.export(broken, tmp_path / "list", format="files")
    assert not (tmp_path / "list").exists()


# trees


@every_tree
@both
@linked_or_copied
def test_a_tree_has_the_rows_under_their_labels(selection, tmp_path, format, what, copy):
    out = pipeline.export(selection, tmp_path / "out", format=format, what=what, copy=copy)
    assert out == tmp_path / "out"
    assert rows_in(out) == TREE[what]
    links = [path for path in out.rglob("*.png") if path.is_symlink()]
    assert len(links) == (0 if copy else len(TREE[what]))
    assert all(link.readlink().is_absolute() for link in links)
    if format == "hf":
        assert metadata(out) == {place: place.split("/")[0] for place in TREE[what]}
        assert not (out / "indices.json").exists()  # load_dataset has another order of files


@every_tree
@linked_or_copied
def test_held_out_rows_are_left_out_unless_they_are_asked_for(selection, tmp_path, format, copy):
    out = tmp_path / "out"
    pipeline.export(selection, out, format=format, copy=copy, with_test=True)
    assert rows_in(out / "train") == TREE["keep"]
    assert rows_in(out / "test") == TEST
    assert sorted(path.name for path in out.iterdir()) == ["test", "train"]
    if format == "hf":
        assert metadata(out / "train") == {place: place.split("/")[0] for place in TREE["keep"]}
        assert metadata(out / "test") == {place: place.split("/")[0] for place in TEST}


@linked_or_copied
def test_torchvision_reads_the_tree(selection, tmp_path, copy):
    pipeline.export(selection, tmp_path / "out", format="folder", copy=copy)
    read = ImageFolder(tmp_path / "out", loader=lambda path: Path(path).read_bytes())
    assert read.classes == list(NAMES)
    found = {int(content.split()[1]): NAMES[label] for content, label in read}
    assert found == {row: place.split("/")[0] for place, row in TREE["keep"].items()}


@pytest.mark.parametrize(
    ("listed", "places"),
    [
        (["cat/a.png", "cat/b/a.png"], ["cat/a.png", "cat/b/a.png"]),
        (["cat/b/a.png", "cat/c/a.png"], ["cat/b/a.png", "cat/c/a.png"]),
        (["train/cat/b/a.png", "train/cat/a.png"], ["cat/b/a.png", "cat/a.png"]),
        (["cat/train/a.png", "cat/b.png"], ["cat/a.png", "cat/b.png"]),
        # these came from other classes
        (["cat/a.png", "dog/a.png"], ["cat/a.png", "cat/dog/a.png"]),
        (["x/cat/a.png", "y/cat/a.png"], ["cat/x/cat/a.png", "cat/y/cat/a.png"]),
        (["b/a.png", "cat/b/a.png"], ["cat/b/a.png", "cat/cat/b/a.png"]),
        (
            ["x/cat/a.png", "cat/x/cat/a.png", "a.png", "cat/a.png"],
            ["cat/0/x/cat/a.png", "cat/x/cat/a.png", "cat/a.png", "cat/cat/a.png"],
        ),
    ],
)
def test_names_that_clash_keep_the_folders_above_them(tmp_path, listed, places):
    chosen = source(tmp_path / "images", [(name, 0, KEPT) for name in listed])
    pipeline.export(chosen, tmp_path / "out", format="folder")
    found = rows_in(tmp_path / "out")
    assert sorted(found.values()) == list(range(len(listed)))
    assert sorted(found, key=lambda place: found[place]) == places


def test_a_thousand_random_names_are_kept_apart(tmp_path):
    chance = np.random.default_rng(0)
    parts = np.array(["cat", "dog", "a", "b", "train"])
    names = {"/".join(chance.choice(parts, chance.integers(0, 4))) for _ in range(400)}
    listed = sorted({f"{name}/{file}.png".lstrip("/") for name in names for file in "ab"})
    labels = chance.integers(0, 2, len(listed)).tolist()
    chosen = source(
        tmp_path / "images",
        [(name, label, KEPT) for name, label in zip(listed, labels, strict=True)],
        ("cat", "dog"),
    )
    pipeline.export(chosen, tmp_path / "out", format="folder")
    found = rows_in(tmp_path / "out")
    assert sorted(found.values()) == list(range(len(listed)))
    assert all(place.startswith(("cat/", "dog/")[labels[row]]) for place, row in found.items())


@every_tree
def test_no_row_at_all_is_an_empty_tree(tmp_path, format):
    chosen = source(tmp_path / "images", [("cat/a.png", 0, KEPT)])
    out = pipeline.export(chosen, tmp_path / "out", format=format, what="drop")
    assert rows_in(out) == {}
    assert format == "folder" or metadata(out) == {}


@every_tree
def test_a_removal_leaves_its_rows_out(selection, tmp_path, format):
    removal = removal_of([1, 2], [1, 0], rows=selection.rows)
    pipeline.export(removal, tmp_path / "keep", format=format)
    assert sorted(rows_in(tmp_path / "keep").values()) == [0, 3, 4]
    pipeline.export(removal, tmp_path / "drop", format=format, what="drop")
    assert sorted(rows_in(tmp_path / "drop").values()) == [1, 2]


# row numbers for Hugging Face datasets


@both
def test_of_other_data_hf_has_row_numbers(tmp_path, what):
    chosen = selection_of([KEPT, DROPPED_EASY, KEPT])
    out = pipeline.export(chosen, tmp_path / "out", format="hf", what=what)
    assert [path.name for path in out.iterdir()] == ["indices.json"]
    expected = {"keep": [0, 2], "drop": [1]}[what]
    assert json.loads((out / "indices.json").read_text()) == expected


# what there is already


@every_tree
@pytest.mark.parametrize(
    "there", ["a file", "a folder", "an empty folder", "a link to an empty folder", "nothing"]
)
def test_only_an_empty_folder_is_written_over(selection, tmp_path, format, there):
    out = tmp_path / "new" / "out"
    out.parent.mkdir()
    if there == "a file":
        out.write_text("mine")
    elif there == "a folder":
        (out / "mine").mkdir(parents=True)
    elif there == "an empty folder":
        out.mkdir()
    elif there == "a link to an empty folder":
        (tmp_path / "elsewhere").mkdir()
        out.symlink_to(tmp_path / "elsewhere")
    if there in ("nothing", "an empty folder"):
        pipeline.export(selection, out, format=format)
        assert rows_in(out) == TREE["keep"]
    else:
        with pytest.raises(OptionError, match="is there already, and is n"):
            pipeline.export(selection, out, format=format)
    assert [path.name for path in out.parent.iterdir()] == ["out"]


@every_tree
@linked_or_copied
def test_nothing_is_left_of_a_folder_that_cannot_be_made(
    selection, tmp_path, monkeypatch, format, copy
):
    (tmp_path / "out").mkdir()
    count, name = iter(range(9)), "write_bytes" if copy else "symlink_to"
    real = getattr(Path, name)

    def until_full(self, *words):
        if next(count) == 2:
            raise OSError(28, "No space left on device")
        return real(self, *words)

    monkeypatch.setattr(Path, name, until_full)
    with pytest.raises(FileError, match="No space left on device"):
        pipeline.export(selection, tmp_path / "out", format=format, copy=copy)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "out"]
    assert list((tmp_path / "out").iterdir()) == []


def test_what_a_killed_process_left_is_removed(selection, tmp_path):
    left = tmp_path / f".out.{2**22 + 1}-0123456789ab.partial"
    other = tmp_path / f".other.{2**22 + 1}-0123456789ab.partial"
    running = tmp_path / f".out.{os.getpid()}-0123456789ab.partial"
    for folder in (left, other, running):
        (folder / "cat").mkdir(parents=True)
    pipeline.export(selection, tmp_path / "out", format="folder")
    assert not left.exists() and other.exists() and running.exists()


# what is refused


@pytest.mark.parametrize("format", ["files", *TREES])
def test_images_that_are_gone_are_named_and_found_again(selection, tmp_path, format):
    (tmp_path / "images").rename(tmp_path / "moved")
    with pytest.raises(
        DataError, match=r"4 of 4 images are not there, the first is .*data='folder"
    ):
        pipeline.export(selection, tmp_path / "out", format=format)
    assert not (tmp_path / "out").exists()
    pipeline.export(selection, tmp_path / "out", format=format, data=f"folder:{tmp_path}/moved")
    if format == "files":
        first = (tmp_path / "out").read_text().splitlines()[0]
        assert first == f"{tmp_path}/moved/cat/a.png"
    else:
        assert rows_in(tmp_path / "out") == TREE["keep"]


@pytest.mark.parametrize(
    ("format", "options"),
    [("files", {"data": True}), ("folder", {"copy": True}), ("hf", {"data": True, "copy": False})],
)
def test_another_image_of_the_same_name_is_refused(selection, tmp_path, format, options):
    shutil.copytree(tmp_path / "images", tmp_path / "other")
    for folder in ("images", "other"):
        (tmp_path / folder / "dog ß" / "a.png").write_bytes(b"image 9")
    if options.get("data"):
        options = options | {"data": f"folder:{tmp_path}/other"}
    with pytest.raises(IdentityError, match=r"a\.png is not the image that was scored"):
        pipeline.export(selection, tmp_path / "out", format=format, **options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("format", "options", "told"),
    [
        ("files", {}, "format='files' is for a folder of images, and the data are npz:/data/mine"),
        ("folder", {}, "format='folder' is for a folder of images, and the data are npz:/data/mi"),
        ("hf", {"copy": True}, "`copy` is for a folder of images, and the data are npz:/data/mine"),
        ("hf", {"with_test": True, "data": "folder:x"}, "`data` and `with_test` is for a folder"),
    ],
)
def test_data_that_are_no_folder_have_no_images(tmp_path, format, options, told):
    with pytest.raises(OptionError, match=told):
        pipeline.export(selection_of([KEPT]), tmp_path / "out", format=format, **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a/b", "..", ".", "", "a\0b"])
def test_a_class_that_cannot_be_a_folder_is_refused(tmp_path, name):
    chosen = source(tmp_path / "images", [("cat/a.png", 0, KEPT)], (name,))
    with pytest.raises(OptionError, match="cannot be the name of a folder; format='files' lists"):
        pipeline.export(chosen, tmp_path / "out", format="folder")
    assert not (tmp_path / "out").exists()


@every_tree
@pytest.mark.parametrize(
    ("out", "options", "told"),
    [
        ("images/out", {}, "lies in the folder of the images"),
        ("images", {}, "lies in the folder of the images"),
        ("images/../images/cat/out", {}, "lies in the folder of the images"),
        ("out", {"data": "npz:mine.npz"}, "data='npz:mine.npz' is no folder of images"),
    ],
)
def test_a_folder_among_the_images_and_other_data_are_refused(
    selection, tmp_path, format, out, options, told
):
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(PruneKitError, match=told):
        pipeline.export(selection, tmp_path / out, format=format, **options)
    assert sorted(tmp_path.rglob("*")) == before


@every_tree
def test_a_test_set_of_its_own_is_not_written(tmp_path, format):
    own = source(tmp_path / "images", [("train/cat/a.png", 0, KEPT)])
    with pytest.raises(OptionError, match="has a test set of its own, in its folder; leave it out"):
        pipeline.export(own, tmp_path / "out", format=format, with_test=True)
    assert not (tmp_path / "out").exists()
