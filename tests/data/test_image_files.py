"""What is made of one image file: upright, on white, in 8-bit grey or RGB."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from prune_kit.data.decoding import plan
from prune_kit.data.image_files import (
    CONVERTED,
    FRAMES,
    TRANSPARENT,
    TURNED,
    Layout,
    UnusableError,
    facts_of,
    pixels_of,
)
from tests.data.small_sets import random_image

ORIENTATION = 0x0112
LOSSLESS = {"WEBP": {"lossless": True}}


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **LOSSLESS.get(kind, {}), **options)
    return buffer.getvalue()


def pixels(content, exif="apply"):
    height, width, channels, _ = facts_of(content, exif)
    layout = Layout(height, width, channels, exif=exif)
    return np.frombuffer(pixels_of(content, layout), np.uint8).reshape(layout.shape)


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_images_are_turned_upright_as_their_exif_data_say(kind, orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    content = encoded(random_image(1, (9, 5)), kind, exif=exif)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
    np.testing.assert_array_equal(pixels(content), np.asarray(upright))
    assert pixels(content).shape[:2] == ((9, 5) if orientation in (5, 6, 7, 8) else (5, 9))
    turned = bool(facts_of(content, "apply")[3] & TURNED)
    assert turned == (kind != "TIFF" and orientation in range(2, 9))


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_exif_data_may_be_ignored(kind, orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    content = encoded(random_image(1, (9, 5)), kind, exif=exif)
    raw = np.asarray(Image.open(io.BytesIO(content)))
    np.testing.assert_array_equal(pixels(content, "ignore"), raw)
    assert facts_of(content, "ignore")[3] & TURNED == 0


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("opacity", [0, 1, 128, 254, 255])
def test_a_transparent_image_is_put_on_white(mode, opacity):
    image = random_image(2, (8, 6), mode)
    image.putalpha(opacity)
    content = encoded(image, "PNG")
    bands = np.asarray(image).astype(float)[..., :-1]
    expected = bands * opacity / 255 + 255 - opacity
    found = pixels(content)
    np.testing.assert_allclose(found, expected, atol=1)
    if opacity in (0, 255):
        np.testing.assert_array_equal(found, expected)
    assert facts_of(content, "apply")[3] & TRANSPARENT


def test_one_transparent_colour_is_put_on_white_too():
    grey = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8))
    palette = random_image(3).convert("P", palette=Image.Palette.ADAPTIVE)
    for image in (grey, palette):
        content = encoded(image, "PNG", transparency=7)
        where = np.asarray(image) == 7
        assert where.any() and (pixels(content)[where] == 255).all()
        expected = np.asarray(image.convert("L" if image is grey else "RGB"))
        np.testing.assert_array_equal(pixels(content).squeeze()[~where], expected[~where])


def test_palettes_and_cmyk_are_converted_and_counted():
    image = random_image(4)
    for other, kind in ((image.convert("P"), "PNG"), (image.convert("CMYK"), "TIFF")):
        content = encoded(other, kind)
        np.testing.assert_array_equal(pixels(content), np.asarray(other.convert("RGB")))
        assert facts_of(content, "apply")[3] & CONVERTED


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP", "PNG"])
def test_of_several_frames_the_first_is_used(kind):
    frames = [random_image(seed).quantize(8) for seed in (5, 6)]
    frames = frames if kind == "GIF" else [frame.convert("RGB") for frame in frames]
    content = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    expected = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    np.testing.assert_array_equal(pixels(content), expected)
    assert facts_of(content, "apply")[3] & FRAMES


def test_an_image_without_anything_peculiar_has_no_trait():
    for mode, kind in (("RGB", "PNG"), ("L", "PNG"), ("RGB", "JPEG"), ("1", "PNG"), ("RGB", "BMP")):
        image = random_image(7).convert(mode)
        assert facts_of(encoded(image, kind), "apply")[3] == 0


@pytest.mark.parametrize("cut", [1, 5, 30, 100])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "TIFF", "BMP", "PPM"])
def test_an_image_that_was_cut_off_is_refused_or_whole(kind, cut):
    content = encoded(random_image(8, (30, 30)), kind)
    whole = pixels(content)
    try:
        found = pixels(content[:-cut])
    except UnusableError as error:
        assert "damaged" in str(error)
    else:  # what was lost held no pixel
        np.testing.assert_array_equal(found, whole)


@pytest.mark.parametrize("position", range(0, 400, 7))
def test_any_damage_is_refused_or_gives_an_image_and_no_other_error_escapes(position):
    content = bytearray(encoded(random_image(9, (20, 20)), "PNG"))
    content[position] ^= 0xFF
    try:
        assert pixels(bytes(content)).ndim == 3
    except UnusableError as error:
        assert str(error) and "\n" not in str(error)


def test_one_colour_image_makes_all_of_them_rgb_and_one_other_size_makes_them_squares():
    grey, colour = (8, 6, 1), (8, 6, 3)
    assert plan(np.array([grey, grey]), None, "apply") == Layout(8, 6, 1)
    assert plan(np.array([grey, colour]), None, "apply") == Layout(8, 6, 3)
    assert plan(np.array([colour, (9, 6, 1)]), None, "apply") == Layout(64, 64, 3, 64)
    assert plan(np.array([(8, 8, 3)] * 2), 8, "ignore") == Layout(8, 8, 3, None, "ignore")
    assert plan(np.array([(8, 8, 3)] * 2), 16, "apply") == Layout(16, 16, 3, 16)
