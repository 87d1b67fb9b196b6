"""The identity of the examples: ids, content digests, labels, and one fingerprint over them.

Row i of every array in every file is row i of the source. A subset is a set of row numbers. Two
files are used together only if their fingerprints agree. Otherwise `explain_difference` says how
they differ.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import h5py
import numpy as np

from prune_kit.errors import FileError, IdentityError
from prune_kit.storage import hdf5

NO_PROBE = -1
MAKE_PIXELS = ("image_size", "exif")  # options of sources that change pixels and no digest
TRAIN = 0
HELD_OUT = 1


@dataclass(frozen=True, eq=False, repr=False)
class Rows:
    """The N rows of a data source, without their images.

    - `id` (N,): the ids as UTF-8 bytes.
    - `digest` (N,): the content digests, uint64.
    - `label` (N,): the labels in use, int64.
    - `role` (N,): 0 for a training row and 1 for a row that is held out as test, uint8.
    - `true_label` (N,): the true labels where they are known to differ, int64, or None.
    - `data`: the specification that the rows came from.
    - `options`: what else is required to load them again, such as {"image_size": 64}.
    - `test_fingerprint`: that of the source's own test set, "" where held-out rows take its place.
    """

    id: np.ndarray
    digest: np.ndarray
    label: np.ndarray
    role: np.ndarray
    class_names: tuple[str, ...]
    data: str
    true_label: np.ndarray | None = None
    options: dict[str, Any] = field(default_factory=dict)
    test_fingerprint: str = ""

    def __len__(self) -> int:
        return len(self.label)

    def __repr__(self) -> str:
        return f"Rows({len(self):,} rows of {self.data}, {len(self.training):,} train)"

    @cached_property
    def fingerprint(self) -> str:
        """The digest over the contents and labels of all rows in order, 32 hexadecimal digits."""
        return fingerprint(self.digest, self.label)

    @cached_property
    def training(self) -> np.ndarray:
        """The numbers of the training rows, ascending."""
        return np.flatnonzero(self.role == TRAIN)

    def per_class(self, index: np.ndarray) -> list[np.ndarray]:
        """The row numbers in `index`, split by class, in their order."""
        # Numpy sorts up to 16 bits by radix, which is faster.
        label = self.label[index].astype(np.min_scalar_type(len(self.class_names)))
        order = np.argsort(label, kind="stable")
        ends = np.cumsum(np.bincount(label, minlength=len(self.class_names)))
        return np.split(index[order], ends[:-1])

    def relabelled(self, label: np.ndarray, true_label: np.ndarray | None = None) -> "Rows":
        """The same rows under other labels."""
        return replace(self, label=label, true_label=true_label)


def content_digests(contents: Iterable[bytes]) -> np.ndarray:
    """The 64-bit BLAKE2b of each example's untransformed content, as uint64 (N,)."""
    digests = b"".join(hashlib.blake2b(content, digest_size=8).digest() for content in contents)
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def array_digests(images: np.ndarray) -> np.ndarray:
    """The content digests of images (N, ...) that exist only as arrays."""
    return content_digests(np.ascontiguousarray(image).tobytes() for image in images)


def index_digest(index: np.ndarray) -> str:
    """One digest over row numbers, 32 hexadecimal digits. Equal rows have equal digests."""
    return hashlib.blake2b(np.ascontiguousarray(index, dtype=np.int64).tobytes()).hexdigest()[:32]


def fingerprint(digest: np.ndarray, label: np.ndarray) -> str:
    """One digest over the ordered pairs (content digest, label), 32 hexadecimal digits."""
    pairs = np.empty((len(digest), 2), dtype="<u8")
    pairs[:, 0] = digest
    pairs[:, 1] = label.astype(np.int64).view(np.uint64)
    return hashlib.blake2b(pairs.tobytes(), digest_size=16).hexdigest()


def check_same(
    given: Rows, expected: Rows, given_name: str, expected_name: str, remedy: str = ""
) -> None:
    """Check that two sets of rows are the same examples, with the same labels, sizes and test set.

    Parameters
    ----------
    given, expected
        The two sets of rows.
    given_name, expected_name
        What they belong to, for the error.
    remedy
        What the user can do about a difference. It is left out where it speaks of alignment, and
        the two sets do not share an example.

    Raises
    ------
    IdentityError
        If they differ. The error says how.
    """
    same_roles = np.array_equal(given.role, expected.role)
    if given.fingerprint != expected.fingerprint:
        reason = explain_difference(given, expected)
        if "align" in remedy and not np.isin(expected.digest, given.digest).any():
            remedy = ""
    elif given.test_fingerprint != expected.test_fingerprint or not same_roles:
        reason = f"the same examples, but {_test_of(given)} against {_test_of(expected)}"
    elif made_otherwise := _made_otherwise(given, expected):
        reason = f"the same images, but made otherwise: {made_otherwise}"
    else:
        return
    message = f"{given_name} is not the data of {expected_name}: {reason}"
    raise IdentityError(f"{message}. {remedy}" if remedy else message)


def _made_otherwise(given: Rows, expected: Rows) -> str:
    """How the images of the same files differ: "image_size=64 against image_size=None"."""
    return ", ".join(
        f"{name}={given.options.get(name)!r} against {name}={expected.options.get(name)!r}"
        for name in MAKE_PIXELS
        if given.options.get(name) != expected.options.get(name)
    )


def _test_of(rows: Rows) -> str:
    if rows.test_fingerprint:
        return f"a test set of its own ({rows.test_fingerprint[:8]})"
    return f"{int((rows.role == HELD_OUT).sum()):,} rows held out as test"


def explain_difference(given: Rows, expected: Rows) -> str:
    """How two sets of rows differ, in words: in order, extent, labels or content, or altogether.

    Parameters
    ----------
    given, expected
        The two sets of rows. Their fingerprints differ.

    Returns
    -------
    str
        The difference, as the end of a sentence about `given`.
    """
    same_length = len(given) == len(expected)
    if same_length and np.array_equal(given.digest, expected.digest):
        rows = np.flatnonzero(given.label != expected.label)
        return (
            f"the same examples, but {len(rows):,} of {len(given):,} are relabelled, the first in "
            f"row {rows[0]}"
        )
    given_only = _missing(given.digest, expected.digest)
    expected_only = _missing(expected.digest, given.digest)
    if same_length and not given_only and not expected_only:
        row = int(np.flatnonzero(given.digest != expected.digest)[0])
        return f"the same examples in another order (the first that differs is row {row})"
    if not given_only or not expected_only:
        which = "a subset" if not given_only else "a superset"
        return f"{which}: {len(given):,} examples against {len(expected):,}"
    if same_length and 2 * expected_only <= len(expected):
        row = int(np.flatnonzero(given.digest != expected.digest)[0])
        name = expected.id[row].decode("utf-8", "replace")
        return (
            f"{expected_only:,} of {len(expected):,} examples have other content, the first is row "
            f"{row} ({name})"
        )
    return (
        f"another data set: {len(given):,} examples against {len(expected):,}, "
        f"{len(expected) - expected_only:,} of them in common"
    )


def aligned_rows(given: Rows, expected: Rows, given_name: str, expected_name: str) -> np.ndarray:
    """The row of `given` with the same content, for each row of `expected`.

    The k-th copy of a content is matched with the k-th copy.

    Parameters
    ----------
    given, expected
        The two sets of rows.
    given_name, expected_name
        What they belong to, for the error.

    Returns
    -------
    int64 (N,)
        The rows of `given`, -1 where the content is missing.

    Raises
    ------
    IdentityError
        If they do not share an example.
    """
    places: dict[int, list[int]] = {}
    for row in range(len(given) - 1, -1, -1):
        places.setdefault(int(given.digest[row]), []).append(row)
    rows = np.array(
        [places[d].pop() if places.get(d) else -1 for d in map(int, expected.digest)],
        dtype=np.int64,
    )
    if (rows < 0).all():
        raise IdentityError(
            f"{given_name} and {expected_name} do not share an example, so they cannot be aligned"
        )
    return rows


def write_rows(file: h5py.Group, rows: Rows, *, with_role: bool = True) -> None:
    """Write rows to an HDF5 file or a group of it.

    Parameters
    ----------
    file, rows
        The HDF5 file, or the group of it, and the rows that it takes.
    with_role
        Whether the roles are written. The file of a selection has its reasons instead.
    """
    file.attrs["data"] = rows.data
    file.attrs["data_options"] = json.dumps(rows.options)
    file.attrs["fingerprint"] = rows.fingerprint
    file.attrs["test_fingerprint"] = rows.test_fingerprint
    file.attrs["class_names"] = json.dumps(rows.class_names)
    hdf5.write_text_dataset(file, "id", rows.id)
    file["digest"] = rows.digest.astype(np.uint64)
    file["label"] = rows.label.astype(np.int64)
    if with_role:
        file["role"] = rows.role.astype(np.uint8)
    if rows.true_label is not None:
        file["true_label"] = rows.true_label.astype(np.int64)


def read_rows(file: h5py.Group, role: np.ndarray | None = None, *, glance: bool = False) -> Rows:
    """Read the rows that `write_rows` wrote.

    Parameters
    ----------
    file
        The HDF5 file, or the group.
    role
        The roles, if they are not in the file.
    glance
        Whether ids, digests and labels stay in the file until they are used, and are not checked.

    Returns
    -------
    Rows
        The rows.

    Raises
    ------
    FileError
        If the rows do not have the fingerprint that was written.
    """
    read = hdf5.mapped if glance else hdf5.whole
    rows = Rows(
        id=read(file["id"]),
        digest=read(file["digest"]),
        label=read(file["label"]),
        role=file["role"][()] if role is None else role,
        true_label=read(file["true_label"]) if "true_label" in file else None,
        class_names=tuple(json.loads(file.attrs["class_names"])),
        data=str(file.attrs["data"]),
        options=json.loads(file.attrs["data_options"]),
        test_fingerprint=str(file.attrs["test_fingerprint"]),
    )
    if not glance:
        _check_texts(rows.id, file.file.filename)
    lengths = {len(rows.id), len(rows.digest), len(rows.label), len(rows.role)}
    if len(lengths) != 1 or (not glance and rows.fingerprint != file.attrs["fingerprint"]):
        raise FileError(
            f"{file.file.filename} is damaged: its rows are not the rows that were written "
            "(fingerprint)"
        )
    return rows


def _check_texts(ids: np.ndarray, path: str) -> None:
    """Raise FileError if an id is not UTF-8."""
    try:
        for start in range(0, len(ids), 2**20):
            np.asarray(ids[start : start + 2**20], dtype="S").tobytes().decode("utf-8")
    except (UnicodeError, ValueError) as error:
        raise FileError(f"{path} is damaged: its ids are not UTF-8 texts ({error})") from error


def _missing(digest: np.ndarray, others: np.ndarray) -> int:
    """How many of the digests are missing among `others`. Copies count."""
    values, counts = np.unique(digest, return_counts=True)
    other_values, other_counts = np.unique(others, return_counts=True)
    if not len(other_values):
        return int(counts.sum())
    place = np.searchsorted(other_values, values)
    place[place == len(other_values)] = 0
    matched = np.where(other_values[place] == values, other_counts[place], 0)
    return int(np.maximum(counts - matched, 0).sum())
