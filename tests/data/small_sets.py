"""Small data sets in the original formats, made on the spot."""

import gzip
import os
import pickle
import struct

import numpy as np
from PIL import Image


def idx_bytes(array):
    """An array of bytes in the IDX format."""
    return (
        bytes([0, 0, 8, array.ndim])
        + struct.pack(f">{array.ndim}I", *array.shape)
        + array.tobytes()
    )


def write_idx_folder(
    folder, n=30, n_test=10, side=6, classes=10, name="{}-idx{}-ubyte", zipped=True
):
    """The four files of MNIST with random pixels; returns the training images and labels."""
    rng = np.random.default_rng(0)
    arrays = {}
    for stem, count in (("train", n), ("t10k", n_test)):
        arrays[f"{stem}-images"] = rng.integers(0, 256, (count, side, side), dtype=np.uint8)
        arrays[f"{stem}-labels"] = (np.arange(count) % classes).astype(np.uint8)
    folder.mkdir(parents=True, exist_ok=True)
    for stem, array in arrays.items():
        content = idx_bytes(array)
        path = folder / (name.format(stem, array.ndim) + (".gz" if zipped else ""))
        path.write_bytes(gzip.compress(content) if zipped else content)
    return arrays["train-images"], arrays["train-labels"]


def python2_pickle(value):
    """A pickle as Python 2 wrote it: texts and raw array bytes are `str`, read back as bytes."""
    pickler = _Python2Pickler()
    pickler.save(value)
    return b"\x80\x02" + b"".join(pickler.parts) + b"."


class _Python2Pickler:
    def __init__(self):
        self.parts = []

    def save(self, value):
        put = self.parts.append
        if isinstance(value, bytes):
            put(b"T" + struct.pack("<i", len(value)) + value)  # BINSTRING
        elif isinstance(value, int):
            put(b"J" + struct.pack("<i", value))
        elif isinstance(value, list):
            put(b"](")
            for entry in value:
                self.save(entry)
            put(b"e")
        elif isinstance(value, dict):
            put(b"}(")
            for key, entry in value.items():
                self.save(key)
                self.save(entry)
            put(b"u")
        else:
            self.save_array(value)

    def save_array(self, array):
        put = self.parts.append
        put(b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n(K\x00tU\x01b\x87R")
        put(b"(K\x01(")
        for length in array.shape:
            put(b"J" + struct.pack("<i", length))
        put(
            b"tcnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        )
        self.save(array.tobytes())
        put(b"tb")


class Malicious:
    """Runs a function when it is unpickled by a reader that lets it."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def malicious_pickle(path):
    """A pickle that would make a folder at `path`."""
    return pickle.dumps({b"data": Malicious(os.mkdir, str(path))}, protocol=2)


def random_image(seed, size=(8, 8), mode="RGB"):
    """An image of random pixels; `size` is (width, height)."""
    bands = len(Image.new(mode, (1, 1)).getbands())
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], bands), dtype=np.uint8)
    return Image.frombytes(mode, size, pixels.tobytes())


def write_tree(
    folder, classes=("cat", "dog"), per_class=4, size=(8, 8), mode="RGB", suffix=".png", seed=0
):
    """Class folders with a few images each."""
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for row in range(per_class):
            image = random_image([seed, number, row], size, mode)
            image.save(folder / name / f"{row:04d}{suffix}")
    return folder
