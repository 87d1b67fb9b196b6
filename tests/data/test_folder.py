import errno
import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from prune_kit.data import decoding
from prune_kit.data.decoded_cache import cache_folder
from prune_kit.data.identity import content_digests
from prune_kit.data.spec import load_data
from prune_kit.errors import DataError, FileError
from tests.data.small_sets import random_image, write_tree


@pytest.fixture
def tree(tmp_path):
    """A tree with train/ and test/, ten grey squares in two classes."""
    write_tree(tmp_path / "tree" / "train", mode="L")
    write_tree(tmp_path / "tree" / "test", per_class=1, mode="L", seed=1)
    return tmp_path / "tree"


@pytest.fixture
def work(monkeypatch):
    """How many files have been read for their digests, and how many have been decoded."""
    counts = {"read": 0, "decoded": 0}
    inspect, decode = decoding.facts_of, decoding.pixels_of

    def count_inspect(content, exif):
        counts["read"] += 1
        return inspect(content, exif)

    def count_decode(content, layout):
        counts["decoded"] += 1
        return decode(content, layout)

    monkeypatch.setattr(decoding, "facts_of", count_inspect)
    monkeypatch.setattr(decoding, "pixels_of", count_decode)
    return counts


def load(folder, **options):
    return load_data(f"folder:{folder}", **options)


# order and content


def test_order_classes_and_pixels_are_those_of_torchvisions_image_folder(tmp_path):
    from torchvision.datasets import ImageFolder

    root = write_tree(tmp_path / "tree", classes=("b", "A", "a", "10", "9", "é"), per_class=3)
    for name in ("b/z/1.png", "b/y.PNG", "a/10.png", "a/9.png", "a/B.png", "a/_.jpg"):
        (root / name).parent.mkdir(exist_ok=True)
        random_image(len(name)).save(root / name)
    (root / "a" / "notes.txt").write_text("no image")
    theirs, ours = ImageFolder(str(root)), load(root)
    assert ours.class_names == tuple(theirs.classes)
    assert [name.decode() for name in ours.ids] == [
        Path(path).relative_to(root).as_posix() for path, _ in theirs.samples
    ]
    np.testing.assert_array_equal(ours.labels, theirs.targets)
    for row, (image, _) in enumerate(theirs):
        np.testing.assert_array_equal(ours.images[row], np.asarray(image))


def test_train_and_test_are_two_sets_with_ids_from_the_root(tree):
    data = load(tree)
    assert data.ids.tolist()[:2] == [b"train/cat/0000.png", b"train/cat/0001.png"]
    assert data.test.id.tolist() == [b"test/cat/0000.png", b"test/dog/0000.png"]
    assert data.shape == (8, 8, 1)
    assert (len(data), len(data.test.label)) == (8, 2)
    assert data.preparation == ""
    np.testing.assert_array_equal(
        data.test.images[1, :, :, 0], np.asarray(Image.open(tree / "test/dog/0000.png"))
    )


def test_val_stands_in_where_there_is_no_test(tree):
    (tree / "test").rename(tree / "val")
    assert load(tree).test.id[0] == b"val/cat/0000.png"


def test_test_comes_before_val(tree):
    write_tree(tree / "val", mode="L", seed=2)
    assert load(tree).test.id[0] == b"test/cat/0000.png"


def test_a_bare_tree_has_a_fifth_of_its_rows_held_out(tmp_path):
    data = load(write_tree(tmp_path / "tree", per_class=5))
    assert data.outside_test is None
    assert (len(data), len(data.test.label)) == (10, 2)


def test_a_class_may_be_called_train(tmp_path):
    data = load(write_tree(tmp_path / "tree", classes=("train", "plane"), per_class=5))
    assert data.class_names == ("plane", "train")


def test_digests_are_those_of_the_files_bytes(tree):
    data = load(tree)
    np.testing.assert_array_equal(
        data.rows.digest, content_digests((tree / i.decode()).read_bytes() for i in data.ids)
    )
    contents = [(tree / i.decode()).read_bytes() for i in data.test.id]
    np.testing.assert_array_equal(data.test.digest, content_digests(contents))


def test_torch_can_wrap_the_images_and_write_to_its_own_copy(tree):
    import torch

    images = torch.from_numpy(load(tree).images)
    before = images[0].clone()
    images[0] = 0
    assert torch.equal(torch.from_numpy(load(tree).images)[0], before)


# channels and sizes


@pytest.mark.parametrize(
    ("mode", "suffix", "channels"),
    [
        ("L", ".png", 1),
        ("1", ".png", 1),
        ("LA", ".png", 1),
        ("RGB", ".png", 3),
        ("RGBA", ".png", 3),
        ("P", ".png", 3),
        ("CMYK", ".jpg", 3),
        ("RGB", ".webp", 3),
        ("RGB", ".bmp", 3),
    ],
)
def test_each_mode_has_its_number_of_channels(tmp_path, mode, suffix, channels):
    root = write_tree(
        tmp_path / "tree", mode="RGB" if mode in ("P", "1") else mode, suffix=suffix, per_class=3
    )
    if mode in ("P", "1"):
        for path in root.rglob("*.png"):
            Image.open(path).convert(mode).save(path)
    data = load(root)
    assert data.shape == (8, 8, channels)
    path = root / data.ids[2].decode()
    image = Image.open(path)
    if mode.endswith("A"):
        assert data.preparation == "6 transparent images put on white"
        pixels = np.asarray(image).astype(float)
        alpha = pixels[..., -1:] / 255
        expected = (alpha * pixels[..., :-1] + (1 - alpha) * 255).squeeze()
        np.testing.assert_allclose(data.images[2].squeeze(), expected, atol=1)
    else:
        assert data.preparation == ""
        expected = np.asarray(image.convert("L" if channels == 1 else "RGB"))
        np.testing.assert_array_equal(data.images[2].squeeze(), expected)


def test_sixteen_bit_and_floating_images_are_refused_by_mode(tmp_path):
    for mode, dtype, suffix in (
        ("I;16", np.uint16, ".png"),
        ("F", np.float32, ".tif"),
        ("I", np.int32, ".tif"),
    ):
        root = write_tree(tmp_path / suffix / mode)
        path = root / "dog" / f"0009{suffix}"
        Image.fromarray(np.ones((8, 8), dtype)).save(path)
        with pytest.raises(
            DataError,
            match=rf"0009\{suffix} has pixels of mode {mode[0]}.*; expected 8 bits per channel",
        ):
            load(root)


def test_a_sixteen_bit_colour_png_is_refused_though_pillow_would_halve_it(tmp_path):
    import struct
    import zlib

    def chunk(kind, content):
        return (
            struct.pack(">I", len(content))
            + kind
            + content
            + struct.pack(">I", zlib.crc32(kind + content))
        )

    pixels = zlib.compress(b"".join(b"\0" + bytes(8 * 6) for _ in range(8)))
    header = struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0)
    root = write_tree(tmp_path / "tree")
    content = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )
    (root / "cat" / "deep.png").write_bytes(content)
    with pytest.raises(DataError, match=r"deep\.png has pixels of mode RGB, 16 bits per channel"):
        load(root)


def test_grey_among_colour_is_made_rgb_and_said(tmp_path):
    root = write_tree(tmp_path / "tree")
    grey = random_image(0, mode="L")
    grey.save(root / "dog" / "grey.png")
    data = load(root)
    assert data.shape == (8, 8, 3) and data.notes == ("1 grey images among 9 are made RGB",)
    row = [name.decode() for name in data.ids].index("dog/grey.png")
    np.testing.assert_array_equal(data.images[row], np.asarray(grey)[..., None].repeat(3, 2))


def test_images_of_different_sizes_become_squares_as_torchvisions_transforms_make_them(tmp_path):
    from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

    root = write_tree(tmp_path / "tree", per_class=1)
    for number, size in enumerate(
        [(100, 70), (70, 101), (33, 90), (200, 77), (64, 64), (65, 64), (64, 67)]
    ):
        random_image(number, size).save(root / "cat" / f"size{number}.png")
    for side in (64, 31):
        data = load(root, image_size=side if side != 64 else None)
        assert data.shape == (side, side, 3)
        assert f"shorter side resized to {side} pixels" in data.preparation
        rule = Compose([Resize(side, InterpolationMode.BILINEAR), CenterCrop(side)])
        for image, name in zip(data.images, data.ids, strict=True):
            np.testing.assert_array_equal(image, np.asarray(rule(Image.open(root / name.decode()))))


def test_one_size_stays_as_it_is_unless_another_is_asked_for(tmp_path):
    root = write_tree(tmp_path / "tree", size=(12, 10))
    assert load(root).shape == (10, 12, 3)
    resized = load(root, image_size=10)
    assert resized.shape == (10, 10, 3)
    assert "10x10" in resized.preparation
    assert resized.fingerprint == load(root).fingerprint
    square = write_tree(tmp_path / "square", size=(9, 9))
    assert load(square, image_size=9).preparation == ""


def test_an_image_too_narrow_to_resize_is_named(tmp_path, monkeypatch):
    root = write_tree(tmp_path / "tree")
    random_image(0, (1, 300)).save(root / "cat" / "line.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64 * 300)
    with pytest.raises(DataError, match=r"line\.png has .* too narrow"):
        load(root)


# the cache


def test_the_second_load_reads_and_decodes_nothing(tree, work):
    first = load(tree)
    assert work == {"read": 10, "decoded": 10}
    second = load(tree)
    assert work == {"read": 10, "decoded": 10}
    assert isinstance(second.images, np.memmap)
    np.testing.assert_array_equal(first.images, second.images)
    assert first.fingerprint == second.fingerprint
    assert (first.preparation, first.shape) == (second.preparation, second.shape)


def test_the_preparation_is_remembered(tree):
    first = load(tree, image_size=5)
    assert load(tree, image_size=5).preparation == first.preparation != ""


def test_a_moved_folder_is_read_but_not_decoded_again(tree, work):
    load(tree)
    moved = tree.rename(tree.with_name("elsewhere"))
    data = load(moved)
    assert work == {"read": 20, "decoded": 10}
    np.testing.assert_array_equal(
        data.images[0, :, :, 0], np.asarray(Image.open(moved / "train/cat/0000.png"))
    )


def test_a_touched_file_is_read_but_not_decoded_again(tree, work):
    load(tree)
    os.utime(tree / "train/cat/0000.png", (1, 1))
    load(tree)
    assert work == {"read": 20, "decoded": 10}


def test_a_changed_file_is_noticed_even_if_its_size_and_time_are_restored(tree):
    path = tree / "train/cat/0001.png"
    for each in (path, tree / "train/cat/0002.png"):
        Image.open(each).save(each.with_suffix(".bmp"))
        each.unlink()
    path = path.with_suffix(".bmp")
    first = load(tree)
    before = path.stat()
    time.sleep(0.02)  # longer than a tick of the file system's clock
    content = bytearray(path.read_bytes())
    content[-1] ^= 0xFF
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    second = load(tree)
    assert first.fingerprint != second.fingerprint
    assert np.flatnonzero(first.rows.digest != second.rows.digest).tolist() == [1]
    np.testing.assert_array_equal(second.images[1, :, :, 0], np.asarray(Image.open(path)))


def test_another_size_is_another_array(tree, work):
    assert load(tree).shape == (8, 8, 1)
    assert load(tree, image_size=4).shape == (4, 4, 1)
    assert load(tree).shape == (8, 8, 1)
    assert work["decoded"] == 20


@pytest.mark.parametrize(
    "damage", ["truncate", "lengthen", "empty", "remove", "other shape", "other type"]
)
def test_a_damaged_array_is_rebuilt(tree, cache, work, damage):
    expected = np.array(load(tree).images)
    (path,) = (cache / "images").glob("*.npy")
    content = path.read_bytes()
    if damage == "remove":
        path.unlink()
    elif damage == "other shape":
        np.save(path, np.zeros((10, 4, 16, 1), np.uint8))
    elif damage == "other type":
        np.save(path, np.zeros((10, 8, 8, 1), np.int8))
    else:
        path.write_bytes(
            {"truncate": content[:-1], "lengthen": content + b"\0", "empty": b""}[damage]
        )
    np.testing.assert_array_equal(load(tree).images, expected)
    assert work["decoded"] == 20


@pytest.mark.parametrize(
    "content", ["", "{}", "[1]", "null", '{"height": 8, "width": 8, "channels": "x", "side": null}']
)
def test_a_damaged_note_of_the_shape_is_rebuilt(tree, cache, work, content):
    load(tree)
    (path,) = (cache / "images").glob("*.json")
    path.write_text(content)
    assert load(tree).shape == (8, 8, 1)
    assert work["decoded"] == 20
    assert json.loads(path.read_text())["height"] == 8


@pytest.mark.parametrize("position", [0, 40, -30, None])
def test_damaged_digests_are_read_again(tree, cache, work, position):
    fingerprint = load(tree).fingerprint
    (path,) = (cache / "facts").glob("*.npz")
    content = bytearray(path.read_bytes())
    if position is None:
        content = content[:50]
    else:
        content[position] ^= 0xFF
    path.write_bytes(content)
    assert load(tree).fingerprint == fingerprint
    assert work["decoded"] == 10


def test_a_flipped_digest_is_caught_by_its_checksum(tree, cache, work):
    data = load(tree)
    (path,) = (cache / "facts").glob("*.npz")
    content = path.read_bytes()
    at = content.index(data.rows.digest.tobytes())
    path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    assert load(tree).fingerprint == data.fingerprint
    assert work == {"read": 20, "decoded": 10}


def test_nothing_is_written_into_the_data_folder(tree, cache):
    before = sorted(tree.rglob("*"))
    load(tree)
    assert sorted(tree.rglob("*")) == before
    assert len(list(cache.rglob("*.*"))) == 3


def test_a_cache_inside_the_data_folder_is_refused(tree, monkeypatch):
    monkeypatch.setenv("PRUNE_KIT_CACHE", str(tree / "cache"))
    with pytest.raises(FileError, match=r"would lie inside the data folder .* set PRUNE_KIT_CACHE"):
        load(tree)
    assert not (tree / "cache").exists()


def test_the_cache_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.delenv("PRUNE_KIT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "prune_kit"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "prune_kit"


def test_a_cache_that_cannot_be_written_is_named_with_the_way_out(tree, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("PRUNE_KIT_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(FileError, match=r"cannot write .*file/cache.*PRUNE_KIT_CACHE") as caught:
        load(tree)
    assert "\n" not in str(caught.value)


def test_a_full_disk_leaves_no_trace_and_says_so(tree, cache, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(decoding, "pixels_of", full)
    with pytest.raises(FileError, match=r"No space left on device.*PRUNE_KIT_CACHE"):
        load(tree)
    assert [path for path in cache.rglob("*") if path.is_file()] == []


def test_a_file_that_changes_while_it_is_read_is_noticed(tree, cache, monkeypatch):
    decode_into = decoding.decode_into

    def interfere(*arguments):
        os.utime(tree / "train/cat/0000.png", (1, 1))
        return decode_into(*arguments)

    monkeypatch.setattr(decoding, "decode_into", interfere)
    with pytest.raises(DataError, match="have changed while they were read"):
        load(tree)
    assert not (cache / "facts").exists()


# many files, all cores


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """600 files: enough for processes to be started."""
    return write_tree(
        tmp_path_factory.mktemp("many") / "tree", per_class=300, size=(3, 3), mode="L"
    )


def test_many_files_are_decoded_in_order_by_several_processes_and_progress_is_told(many):
    seen = []
    data = load(many, progress=seen.append)
    assert [p.done for p in seen if p.what == "reading images"] == [0, 256, 512, 600]
    assert [p.done for p in seen if p.what == "decoding images"] == [0, 256, 512, 600]
    assert {p.total for p in seen} == {600}
    for row in range(0, 600, 37):
        np.testing.assert_array_equal(
            data.images[row, :, :, 0], np.asarray(Image.open(many / data.ids[row].decode()))
        )


@pytest.mark.parametrize("damage", ["header", "body"])
def test_a_corrupt_image_among_many_is_named_and_nothing_hangs(many, tmp_path, cache, damage):
    root = shutil.copytree(many, tmp_path / "tree")
    path = root / "dog" / "0200.png"
    random_image(0, (3, 3), "L").save(path)
    content = path.read_bytes()
    path.write_bytes(content[:20] if damage == "header" else content[:45])
    begun = time.monotonic()
    with pytest.raises(DataError, match=r"dog/0200\.png is ") as caught:
        load(root)
    assert time.monotonic() - begun < 20
    assert "\n" not in str(caught.value)
    assert len(load(root, skip_bad=True)) == 599
    assert len(load(many)) == 600  # the next one works


# wrong input


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", r"is empty \(0 bytes\)"),
        (b"hello", "is not an image that can be read"),
        (
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n",
            "is not an image that can be read",
        ),
    ],
)
def test_a_file_that_is_no_image_is_named(tree, content, reason):
    (tree / "train/dog/0001.png").write_bytes(content)
    with pytest.raises(DataError, match=rf"train/dog/0001\.png {reason}"):
        load(tree)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".bmp"])
def test_a_truncated_image_is_named(tmp_path, suffix):
    root = write_tree(tmp_path / "tree", suffix=suffix, size=(40, 40))
    path = root / "dog" / f"0002{suffix}"
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(DataError, match=rf"dog/0002\{suffix} is "):
        load(root)


def test_a_huge_image_is_refused_before_it_is_decoded(tree, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)  # 64 pixels: Pillow warns
    with pytest.raises(DataError, match=r"0000\.png is too large: .*64 pixels"):
        load(tree)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)  # more than twice as many: Pillow raises
    with pytest.raises(DataError, match=r"0000\.png is too large: .*64 pixels"):
        load(tree)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(DataError, match=r"cannot read the folder .*nowhere: No such file"):
        load(tmp_path / "nowhere")


def test_a_file_in_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot read the folder .*file: Not a directory"):
        load(tmp_path / "file")


def test_an_empty_folder_says_what_is_expected(tmp_path):
    with pytest.raises(DataError, match="lacks class folders; expected one folder per class"):
        load(tmp_path)


def test_train_without_class_folders_is_not_taken_for_a_class(tmp_path):
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        random_image(0).save(tmp_path / split / "1.png")
    with pytest.raises(
        DataError,
        match="holds test, train, but train lacks class folders; expected train/CLASS/FILE",
    ):
        load(tmp_path)


def test_a_test_folder_without_train_is_refused(tree):
    shutil.rmtree(tree / "train")
    with pytest.raises(DataError, match="holds test, but no folder of the training images"):
        load(tree)


def test_an_empty_class_is_named(tree, work):
    (tree / "train" / "bird").mkdir()
    (tree / "train" / "bird" / "notes.txt").write_text("soon")
    with pytest.raises(
        DataError, match=r"class 'bird' is empty: .*train/bird lacks image files \(\.jpg"
    ):
        load(tree)
    assert work["read"] == 0


def test_one_class_only_is_refused(tree):
    shutil.rmtree(tree / "train" / "dog")
    with pytest.raises(DataError, match=r"holds one class only \('cat'\)"):
        load(tree)


def test_a_class_that_only_the_test_set_has_is_named(tree):
    (tree / "test" / "dog").rename(tree / "test" / "dgo")
    with pytest.raises(
        DataError,
        match=r"test has a class 'dgo' that .*train lacks; the training classes are: cat, dog",
    ):
        load(tree)


def test_the_test_set_may_lack_a_class(tree):
    shutil.rmtree(tree / "test" / "cat")
    data = load(tree)
    assert data.test.label.tolist() == [1]
    assert data.classes == 2


def test_an_empty_test_set_is_refused(tree):
    shutil.rmtree(tree / "test")
    (tree / "test").mkdir()
    with pytest.raises(DataError, match="tree: test is empty; add images, or remove it"):
        load(tree)


def test_a_file_name_that_is_no_text_is_named(tree):
    path = os.fsencode(tree / "train" / "cat") + b"/\xff.png"
    try:
        shutil.copy(tree / "train/cat/0000.png", path)
    except OSError:
        pytest.skip("this file system has no such names")
    with pytest.raises(DataError, match="is not UTF-8 text; rename it"):
        load(tree)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_named(tree):
    (tree / "train/cat/0000.png").chmod(0)
    with pytest.raises(DataError, match=r"cat/0000\.png cannot be read: Permission denied"):
        load(tree)
