"""What a folder of images is: torchvision's listing, without loops, and with splits understood."""

import os
import re
import socket

import numpy as np
import pytest

from prune_kit.data.image_tree import SPLITS, image_tree
from prune_kit.data.spec import load_data
from prune_kit.errors import BadFilesError, DataError
from tests.data.small_sets import random_image, write_tree


def names(files, root):
    return [path.removeprefix(f"{root}/") for path, _ in files]


@pytest.fixture
def tree(tmp_path):
    return write_tree(tmp_path / "tree", per_class=4)


# links and what is no image


@pytest.mark.parametrize("target", [".", "..", "../cat", "../..", "../../.."])
@pytest.mark.parametrize("where", ["cat/up", "cat/deep/up", "dog/0"])
def test_a_link_that_loops_is_passed_over_and_said(tree, target, where):
    link = tree / where
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(target, target_is_directory=True)
    found = image_tree(tree)
    own = [name for name in names(found.train, tree) if "/up/" not in name and "/0/" not in name]
    assert own == [f"{c}/{row:04d}.png" for c in ("cat", "dog") for row in range(4)]
    assert len(found.train) <= 12
    if (tree / where).resolve() in (*link.parents, tree):
        assert len(found.train) == 8
        assert any("is a link to a folder above it" in note for note in found.notes)


def test_a_class_that_is_a_link_to_the_root_is_passed_over(tree):
    (tree / "all").symlink_to(tree, target_is_directory=True)
    with pytest.raises(DataError, match="class 'all' is empty"):
        image_tree(tree)


def test_links_to_folders_elsewhere_are_followed_as_torchvision_does(tree, tmp_path):
    from torchvision.datasets import ImageFolder

    other = write_tree(tmp_path / "other", classes=("x",), per_class=2)
    (tree / "cat" / "more").symlink_to(other / "x", target_is_directory=True)
    (tree / "bird").symlink_to(other / "x", target_is_directory=True)
    assert image_tree(tree).train == ImageFolder(tree).samples


@pytest.mark.parametrize(
    "name", ["._0001.png", "__MACOSX/1.png", ".ipynb_checkpoints/1.png", ".DS_Store", "Thumbs.db"]
)
@pytest.mark.parametrize("where", ["", "cat"])
def test_what_file_managers_leave_behind_is_passed_over(tree, name, where):
    path = tree / where / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"x")
    found = image_tree(tree)
    assert len(found.train) == 8 and found.class_names == ("cat", "dog") and found.notes == ()


def test_other_endings_are_passed_over_and_counted(tree):
    for name in ("a.heic", "b.HEIC", "c.txt", "readme"):
        (tree / "cat" / name).write_bytes(b"x")
    [note] = image_tree(tree).notes
    assert note.endswith("passed over: 2 .heic, 1 .txt, 1 without an ending")


# special files and files that cannot be used


def fifo(path):
    os.mkfifo(path)


def bound_socket(path):
    here = os.open(".", os.O_RDONLY)
    os.chdir(path.parent)  # the name of a socket has at most 108 bytes
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(path.name)
    finally:
        os.fchdir(here)
        os.close(here)


def png16(path):
    from PIL import Image

    Image.fromarray(np.zeros((8, 8), np.uint16)).save(path, "PNG")


def netpbm(kind, largest):
    def write(path):
        size = (1 if kind == 5 else 3) * (2 if largest > 255 else 1)
        path.write_bytes(f"P{kind}\n8 8\n{largest}\n".encode() + bytes(64 * size))

    return write


def truncated(path):
    random_image(0, (40, 40)).save(path, "PNG")
    path.write_bytes(path.read_bytes()[:-200])


BAD = {
    "a pipe": (fifo, "is not a regular file"),
    "a socket": (bound_socket, "is not a regular file"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "is not a regular file"),
    "a broken link": (lambda path: path.symlink_to("nowhere"), "is a link to a file that does not"),
    "a link to itself": (lambda path: path.symlink_to(path.name), "cannot be read|is a link"),
    "an empty file": (lambda path: path.touch(), r"is empty \(0 bytes\)"),
    "a text": (lambda path: path.write_text("hello"), "is not an image that can be read"),
    "a page": (lambda path: path.write_text("<html>404</html>"), "is not an image"),
    "half an image": (truncated, "is damaged or truncated"),
    "a PNG of 16 bits": (png16, "has pixels of mode .*16 bits per channel"),
    "a PGM of 16 bits": (netpbm(5, 65535), "has pixels of mode .*16 bits per channel"),
    "a PPM of 16 bits": (netpbm(6, 65535), "has pixels of mode .*16 bits per channel"),
    "a PPM of 10 bits": (netpbm(6, 1023), "has pixels of mode .*16 bits per channel"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_file_that_cannot_be_used_is_named_with_the_reason(tree, kind):
    make, reason = BAD[kind]
    make(tree / "cat" / "0009.png")
    with pytest.raises(BadFilesError, match=rf"cat/0009\.png {reason}") as caught:
        load_data(tree)
    assert "skip_bad=True goes on without it" in str(caught.value)


def test_all_bad_files_are_listed_at_once_and_the_others_go_on(tree):
    for number, (make, _) in enumerate(BAD.values()):
        make(tree / "dog" / f"b{number:02d}.png")
    good = load_data(write_tree(tree.parent / "good", per_class=4))
    with pytest.raises(BadFilesError) as caught:
        load_data(tree)
    assert [path.rpartition("/")[2] for path, _ in caught.value.bad] == [
        f"b{number:02d}.png" for number in range(len(BAD))
    ]
    for (_, found), (_, reason) in zip(caught.value.bad, BAD.values(), strict=True):
        assert re.match(reason, found)
    again = load_data(tree, skip_bad=True)
    np.testing.assert_array_equal(again.images, good.images)
    assert [*again.ids] == [*good.ids] and again.fingerprint == good.fingerprint
    assert again.rows.options == {"skip_bad": True}
    assert again.notes[0].startswith("13 of 21 files cannot be used and are skipped; the first: ")


def test_a_file_that_vanishes_after_it_was_listed_is_one_of_the_bad_ones(tree, monkeypatch):
    from prune_kit.data import decoded_cache

    stamp = decoded_cache._stamp

    def vanish(*arguments):
        (tree / "cat" / "0001.png").unlink(missing_ok=True)
        return stamp(*arguments)

    monkeypatch.setattr(decoded_cache, "_stamp", vanish)
    with pytest.raises(BadFilesError, match=r"cat/0001\.png does not exist any more"):
        load_data(tree)


def test_a_folder_of_bad_files_alone_has_no_way_out_by_skipping(tmp_path):
    for name in ("a/1.png", "b/1.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("no")
    for skip in (False, True):
        with pytest.raises(BadFilesError, match=r"^2 of 2 files cannot be used") as caught:
            load_data(tmp_path, skip_bad=skip)
        assert "skip_bad" not in str(caught.value)


def test_a_folder_that_is_named_like_an_image_is_a_folder(tree):
    write_tree(tree / "cat", classes=("x.png",), per_class=1)
    assert "cat/x.png/0000.png" in names(image_tree(tree).train, tree)


# split folders


def spelled(name):
    return [name, name.upper(), name.capitalize()]


TRAINS = [word for name in SPLITS["train"] for word in spelled(name)]
OTHERS = [
    (split, word)
    for split in ("validation", "test")
    for name in SPLITS[split]
    for word in spelled(name)
]


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize(("split", "other"), OTHERS)
def test_split_folders_are_understood_in_any_case_above_and_inside_of_classes(
    tmp_path, split, other, inside
):
    train = TRAINS[len(other) % len(TRAINS)]
    for number, part in enumerate((train, other)):
        for name in ("cat", "dog"):
            place = tmp_path / (f"{name}/{part}" if inside else f"{part}/{name}")
            place.mkdir(parents=True)
            random_image(number).save(place / "1.png")
    found = image_tree(tmp_path)
    assert found.class_names == ("cat", "dog") and len(found.train) == 2
    assert len(found.test or ()) == 2 and found.validation is None
    assert all(f"/{other}/" in path for path, _ in found.test or ())
    data = load_data(tmp_path)
    assert len(data) == 2 and len(data.test.label) == 2


def test_with_both_the_test_set_is_the_test_set_and_the_other_is_for_tune(tmp_path):
    for part in ("training", "Val", "test"):
        write_tree(tmp_path / part, per_class={"training": 6, "Val": 2, "test": 3}[part])
    data = load_data(tmp_path)
    assert len(data) == 12 and len(data.test.label) == 6
    assert data.validation is not None and len(data.validation.label) == 4
    assert "test is the test set; Val is what `tune` validates on" in data.notes
    assert "a validation set of 4, and a test set of 6" in data.describe()


UNCLEAR = {
    "two training folders": (["train/a", "train/b", "training/a"], "both may be the train images"),
    "two test folders": (["train/a", "train/b", "test/a", "eval/a"], "both may be the test images"),
    "no training images": (["valid/a", "test/a"], "but no folder of the training images"),
    "two splits as classes": (["training", "validation"], "training lacks class folders"),
    "a class called train": (["train/red", "train/blue", "plane", "car"], "is train a class, or"),
    "classes that differ": (["a/train", "a/test", "b/test"], "'b' has no folder of training"),
    "images beside splits": (["a/train", "a/test", "b", "b/train"], "'b' has images outside"),
    "an unknown class": (["train/a", "train/b", "test/c"], "class 'c' that .*train lacks"),
}


@pytest.mark.parametrize("case", UNCLEAR)
def test_what_can_be_read_in_two_ways_is_refused(tmp_path, case):
    folders, message = UNCLEAR[case]
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        random_image(0).save(tmp_path / folder / "1.png")
    with pytest.raises(DataError, match=message):
        image_tree(tmp_path)


def test_a_class_may_be_called_train_and_folders_beside_splits_are_said(tmp_path):
    classes = write_tree(tmp_path / "classes", classes=("train", "plane"))
    assert image_tree(classes).class_names == ("plane", "train")
    splits = write_tree(tmp_path / "splits" / "train")
    write_tree(splits.parent / "test")
    write_tree(splits.parent, classes=("masks",))
    assert (
        image_tree(splits.parent).notes
        == (
            "passed over beside train: masks",
            "test is the test set",
        )[:1]
    )
