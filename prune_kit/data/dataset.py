"""The noun of the house: images, labels, and who they are."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Int, Shaped, UInt8

from prune_kit.data import identity
from prune_kit.data.identity import HELD_OUT, TRAIN, Rows
from prune_kit.errors import DataError
from prune_kit.storage.hdf5 import text_array

TEST_SHARE, TEST_SEED = 0.2, 0


@dataclass(frozen=True, eq=False)
class TestSet:
    """The examples that are touched once, at the end: `rows` (M,) of the images `pool`; `label` int64 (M,)."""

    pool: UInt8[np.ndarray, "P H W C"]
    rows: Int[np.ndarray, "M"]
    label: Int[np.ndarray, "M"]
    id: Shaped[np.ndarray, "M"]
    digest: Shaped[np.ndarray, "M"]

    __test__ = False  # pytest: not a class of tests

    @property
    def images(self) -> UInt8[np.ndarray, "M H W C"]:
        """The images of the examples, in memory."""
        return np.asarray(self.pool[self.rows])

    @cached_property
    def fingerprint(self) -> str:
        """As `Rows.fingerprint`, over the test examples."""
        return identity.fingerprint(self.digest, self.label)


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Images uint8 (N, H, W, C), in memory or memory-mapped, and their `rows`; row i is row i of the source.

    `outside_test` is the source's own test set. Where it is None, the rows whose role is 1 play the
    test set. `preparation` says in words what was done to the images, "" for nothing; with `rows`
    it determines every pixel.
    """

    name: str
    images: UInt8[np.ndarray, "N H W C"]
    rows: Rows
    outside_test: TestSet | None = None
    preparation: str = ""

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"Dataset({self.describe()})"

    @property
    def labels(self) -> Int[np.ndarray, "N"]:
        """The labels that are trained on, in 0 .. classes - 1."""
        return self.rows.label

    @property
    def true_labels(self) -> Int[np.ndarray, "N"] | None:
        """The right labels, where they are known to differ from `labels`; else None."""
        return self.rows.true_label

    @property
    def class_names(self) -> tuple[str, ...]:
        """One name per class."""
        return self.rows.class_names

    @property
    def classes(self) -> int:
        """The number of classes, C."""
        return len(self.rows.class_names)

    @property
    def ids(self) -> Shaped[np.ndarray, "N"]:
        """The stable ids, as UTF-8 bytes."""
        return self.rows.id

    @property
    def fingerprint(self) -> str:
        """One digest over every example's content and label, in order."""
        return self.rows.fingerprint

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width, channels of every image."""
        height, width, channels = self.images.shape[1:]
        return height, width, channels

    @cached_property
    def test(self) -> TestSet:
        """The test examples; held-out rows keep the source's own label, whatever labels are put over the data."""
        if self.outside_test is not None:
            return self.outside_test
        held_out = np.flatnonzero(self.rows.role == HELD_OUT)
        label = self.rows.label if self.rows.true_label is None else self.rows.true_label
        return TestSet(
            self.images,
            held_out,
            label[held_out],
            self.rows.id[held_out],
            self.rows.digest[held_out],
        )

    @property
    def test_rows(self) -> Rows:
        """The test examples without their images, as rows of their own."""
        test = self.test
        role = np.full(len(test.label), HELD_OUT, dtype=np.uint8)
        return Rows(test.id, test.digest, test.label, role, self.class_names, self.rows.data)

    def relabelled(self, label: Int[np.ndarray, "N"], labels_file: str) -> "Dataset":
        """The same examples under other labels; the present ones become `true_labels`.

        Raises DataError when the count differs or a label is out of range.
        """
        label = check_labels(label, len(self), self.classes, labels_file)
        options = {**self.rows.options, "labels_file": labels_file}
        truth = self.rows.label if self.rows.true_label is None else self.rows.true_label
        return replace(
            self, rows=replace(self.rows, label=label, true_label=truth, options=options)
        )

    def describe(self) -> str:
        """One line: what it is, how much of it trains, what tests."""
        height, width, channels = self.shape
        text = (
            f"{self.name}: {len(self):,} images {height}x{width}x{channels}, {self.classes} classes"
        )
        if self.true_labels is not None:
            changed = int((self.labels != self.true_labels).sum())
            text += f" ({changed:,} labels changed by {self.rows.options['labels_file']})"
        if self.outside_test is not None:
            return f"{text}, and a test set of {len(self.outside_test.label):,}"
        train = len(self.rows.training)
        return (
            f"{text}; no test set of its own: {train:,} rows train, {len(self) - train:,} are held "
            f"out as test (a stratified fifth, seed {TEST_SEED})"
        )


def from_arrays(
    images: np.ndarray,
    label: np.ndarray,
    *,
    name: str,
    spec: str,
    class_names: tuple[str, ...] | None = None,
    ids: np.ndarray | list[str] | None = None,
    test_images: np.ndarray | None = None,
    test_label: np.ndarray | None = None,
    preparation: str = "",
    digest: np.ndarray | None = None,
    test_digest: np.ndarray | None = None,
    test_ids: np.ndarray | list[str] | None = None,
) -> Dataset:
    """Make a Dataset of arrays, checking everything once.

    `images` uint8 (N, H, W[, C]); `label` integers (N,) in 0 .. C-1, every class present among the
    training rows, at least two classes. Without test arrays a seeded, stratified fifth of the rows
    is held out (`rows.role`). `digest`, where given, is the content digest of the file that each
    image came from. Raises DataError.
    """
    images = _check_images(images, f"{name}: the images")
    classes = (
        len(class_names) if class_names else _count_classes(np.asarray(label), len(images), name)
    )
    label = check_labels(label, len(images), classes, name)
    class_names = class_names or tuple(str(c) for c in range(classes))
    if classes < 2:
        raise DataError(
            f"{name} has one class only ({class_names[0]!r}); a classifier needs at least two"
        )
    test = None
    role = np.full(len(images), TRAIN, dtype=np.uint8)
    if test_images is not None and test_label is not None:
        test_images = _check_images(test_images, f"{name}: the test images")
        if test_images.shape[1:] != images.shape[1:]:
            raise DataError(
                f"{name}: test images are {test_images.shape[1:]}, training images "
                f"{images.shape[1:]}"
            )
        if not len(test_images):
            raise DataError(
                f"{name}: the test set is empty; leave it out to have a fifth of the rows held out"
            )
        test = TestSet(
            pool=test_images,
            rows=np.arange(len(test_images)),
            label=check_labels(test_label, len(test_images), classes, f"{name}, test set"),
            id=text_array(_ids("test", len(test_images)) if test_ids is None else test_ids),
            digest=identity.array_digests(test_images) if test_digest is None else test_digest,
        )
    else:
        role[held_out_rows(label)] = HELD_OUT
        if not role.any():
            raise DataError(
                f"{name}: no class has three images, too few to hold out a fifth; give it a test "
                "set"
            )
    present = np.bincount(label[role == TRAIN], minlength=classes)
    if not present.all():
        empty = int(np.flatnonzero(present == 0)[0])
        raise DataError(
            f"{name}: class {empty} ({class_names[empty]!r}) is empty: it has no training example"
        )
    rows = Rows(
        id=text_array(_ids("train", len(images)) if ids is None else ids),
        digest=identity.array_digests(images) if digest is None else digest,
        label=label,
        role=role,
        class_names=tuple(class_names),
        data=spec,
        test_fingerprint="" if test is None else test.fingerprint,
    )
    if len(rows.id) != len(images):
        raise DataError(f"{name}: {len(rows.id):,} ids for {len(images):,} images")
    return Dataset(name=name, images=images, rows=rows, outside_test=test, preparation=preparation)


def held_out_rows(label: Int[np.ndarray, "N"]) -> Int[np.ndarray, "M"]:
    """A seeded, stratified fifth of the rows: of each class, the nearest whole number to a fifth."""
    return stratified(label, TEST_SHARE, TEST_SEED)


def stratified(label: Int[np.ndarray, "N"], share: float, seed: int) -> Int[np.ndarray, "M"]:
    """A seeded share of the rows, ascending: of each class, the nearest whole number to that share."""
    chosen = []
    for value in np.unique(label):
        rows = np.flatnonzero(label == value)
        generator = np.random.default_rng([seed, int(value)])
        chosen.append(generator.permutation(rows)[: round(share * len(rows))])
    return np.sort(np.concatenate(chosen))


def validation_split(data: Dataset, share: float, seed: int) -> Dataset:
    """The data with a seeded, stratified share of its training rows in the place of the test set, to tune on.

    They keep the labels that training would see: tuning knows no better ones. The real test set is
    not in it. Raises DataError when the share leaves nothing to train or to test on.
    """
    training = data.rows.training
    rows = training[stratified(data.labels[training], share, seed)]
    if not len(rows) or len(rows) == len(training):
        raise DataError(
            f"{share:g} of {len(training):,} training rows makes a validation split of "
            f"{len(rows):,} rows; it must hold some of them, and leave some"
        )
    role = data.rows.role.copy()
    role[rows] = HELD_OUT
    split = TestSet(data.images, rows, data.labels[rows], data.ids[rows], data.rows.digest[rows])
    return replace(
        data,
        rows=replace(data.rows, role=role, test_fingerprint=split.fingerprint),
        outside_test=split,
    )


def check_labels(label: np.ndarray, count: int, classes: int, where: str) -> np.ndarray:
    """The labels as int64 (N,). Raises DataError when they are no integers, not `count`, or not in 0 .. classes - 1."""
    label = np.asarray(label)
    if label.ndim != 1 or len(label) != count:
        raise DataError(
            f"{where}: labels have shape {label.shape}; expected ({count},), one per image"
        )
    if label.dtype.kind not in "iu":
        raise DataError(
            f"{where}: labels are {label.dtype}; expected integers 0 .. {max(classes - 1, 0)}"
        )
    wrong = np.flatnonzero((label < 0) | (label >= classes))
    if len(wrong):
        raise DataError(
            f"{where}: label {label[wrong[0]]} in row {wrong[0]} is out of range 0 .. {classes - 1}"
        )
    return label.astype(np.int64)


def _count_classes(label: np.ndarray, count: int, name: str) -> int:
    """One more than the largest label, where nothing names the classes."""
    if label.dtype.kind not in "iu":
        raise DataError(f"{name}: labels are {label.dtype}; expected integers 0, 1, 2, ...")
    largest = int(label.max(initial=-1))
    if largest >= count:  # before a name is made for each of, say, a billion classes
        raise DataError(
            f"{name}: label {largest} is out of range; {count:,} images have at most {count:,} "
            "classes"
        )
    return largest + 1


def _check_images(images: np.ndarray, where: str) -> np.ndarray:
    if images.ndim == 3:
        images = images[..., None]
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3):
        raise DataError(
            f"{where} are {images.dtype} {images.shape}; expected uint8 (N, H, W) or (N, H, W, 1 "
            "or 3)"
        )
    if not len(images):
        raise DataError(f"{where}: there are none")
    return images


def _ids(split: str, count: int) -> np.ndarray:
    return np.char.add(f"{split}/", np.arange(count).astype(np.str_))
