"""`Dataset`: images, labels, and the identity of the examples."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Int, Integer, Shaped, UInt8

from prune_kit.data import identity
from prune_kit.data.array_checks import check_images, check_labels, count_classes
from prune_kit.data.identity import HELD_OUT, TRAIN, Rows
from prune_kit.data.splits import TEST_SEED, held_out_rows
from prune_kit.errors import DataError
from prune_kit.storage.hdf5 import text_array


@dataclass(frozen=True, eq=False)
class TestSet:
    """The test examples, which are used once, at the end.

    They are the `rows` (M,) of the images `pool`, with their `label`, `id` and content `digest`.
    """

    pool: UInt8[np.ndarray, "P H W C"]
    rows: Int[np.ndarray, "M"]
    label: Int[np.ndarray, "M"]
    id: Shaped[np.ndarray, "M"]
    digest: Shaped[np.ndarray, "M"]

    __test__ = False  # for pytest: this is not a class of tests

    @property
    def images(self) -> UInt8[np.ndarray, "M H W C"]:
        """The images of the test examples, in memory."""
        return np.asarray(self.pool[self.rows])

    @cached_property
    def fingerprint(self) -> str:
        """The fingerprint of the test examples, as `Rows.fingerprint`."""
        return identity.fingerprint(self.digest, self.label)


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """A data set: the images, in memory or memory-mapped, and their `rows`.

    Row i is row i of the source. `outside_test` is the test set of the source. Where it is None,
    the rows with role 1 are the test set. `preparation` says in words what was done to the images,
    and is "" for nothing. Together with `rows` it determines every pixel. `validation` is the
    validation set of the source, which only a search looks at. `notes` are for the user: how the
    source was understood, and what was passed over.
    """

    name: str
    images: UInt8[np.ndarray, "N H W C"]
    rows: Rows
    outside_test: TestSet | None = None
    preparation: str = ""
    validation: TestSet | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"Dataset({self.describe()})"

    @property
    def labels(self) -> Int[np.ndarray, "N"]:
        """The labels for training, in 0 .. classes - 1."""
        return self.rows.label

    @property
    def true_labels(self) -> Int[np.ndarray, "N"] | None:
        """The true labels, where others were put over them; else None."""
        return self.rows.true_label

    @property
    def class_names(self) -> tuple[str, ...]:
        """The name of each class."""
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
        """One digest over the content and the label of every example, in order."""
        return self.rows.fingerprint

    @property
    def shape(self) -> tuple[int, int, int]:
        """The height, width and channels of every image."""
        height, width, channels = self.images.shape[1:]
        return height, width, channels

    @cached_property
    def test(self) -> TestSet:
        """The test examples.

        Held-out rows keep the label of the source, also where other labels are put over the data.
        """
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
        """The test examples without their images, as `Rows`."""
        test = self.test
        role = np.full(len(test.label), HELD_OUT, dtype=np.uint8)
        return Rows(test.id, test.digest, test.label, role, self.class_names, self.rows.data)

    def relabelled(self, label: Integer[np.ndarray, "N"], labels_file: str) -> "Dataset":
        """The same examples under other labels. The present labels become `true_labels`.

        Parameters
        ----------
        label
            The other labels, in 0 .. classes - 1.
        labels_file
            Where they come from. It is kept in `rows.options`.

        Returns
        -------
        Dataset
            The relabelled data.

        Raises
        ------
        DataError
            If the number of labels differs, or a label is out of range.
        """
        label = check_labels(label, len(self), self.classes, labels_file)
        options = {**self.rows.options, "labels_file": labels_file}
        truth = self.rows.label if self.rows.true_label is None else self.rows.true_label
        return replace(
            self, rows=replace(self.rows, label=label, true_label=truth, options=options)
        )

    def describe(self) -> str:
        """One line: the data, the number of training rows, and the test set."""
        height, width, channels = self.shape
        text = (
            f"{self.name}: {len(self):,} images {height}x{width}x{channels}, {self.classes} classes"
        )
        if self.true_labels is not None:
            changed = int((self.labels != self.true_labels).sum())
            text += f" ({changed:,} labels changed by {self.rows.options['labels_file']})"
        if self.validation is not None:
            text += f", a validation set of {len(self.validation.label):,}"
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
    """Make a `Dataset` of arrays, and check them.

    Parameters
    ----------
    images
        uint8 (N, H, W), (N, H, W, 1) or (N, H, W, 3).
    label
        Integers (N,) in 0 .. C - 1. At least two classes, and each among the training rows.
    name, spec
        What the data set is called, and the specification by which it is loaded again.
    class_names
        The C names of the classes; their numbers by default.
    ids, test_ids
        The ids of the rows and of the test examples; numbers by default.
    test_images, test_label
        The test set, like `images` and `label`. Without it a seeded, stratified fifth of the rows
        is held out (`rows.role`).
    preparation
        What was done to the images, in words.
    digest, test_digest
        The content digests (N,) of the images' files; those of the arrays by default.

    Returns
    -------
    Dataset
        The data set.

    Raises
    ------
    DataError
        If an array is not as described.
    """
    images = check_images(images, f"{name}: the images")
    if not class_names:
        count = count_classes(np.asarray(label), len(images), name)
        class_names = tuple(str(number) for number in range(count))
    classes = len(class_names)
    label = check_labels(label, len(images), classes, name)
    if test_images is None or test_label is None:
        test = None
        role = _held_out_roles(label, name)
    else:
        words = f"{name}, test set"
        test = outside_set(
            test_images, test_label, test_ids, test_digest, classes=classes, name=words
        )
        if test.pool.shape[1:] != images.shape[1:]:
            raise DataError(
                f"{name}: test images are {test.pool.shape[1:]}, but training images are "
                f"{images.shape[1:]}"
            )
        role = np.full(len(images), TRAIN, dtype=np.uint8)
    _check_every_class(label[role == TRAIN], class_names, name)
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


def outside_set(
    images: np.ndarray,
    label: np.ndarray,
    ids: np.ndarray | list[str] | None = None,
    digest: np.ndarray | None = None,
    *,
    classes: int,
    name: str,
) -> TestSet:
    """A test set or a validation set of the source's own, checked.

    Parameters
    ----------
    images, label, ids, digest
        As in `from_arrays`.
    classes
        The number of classes, C.
    name
        What the set is called, for errors.

    Returns
    -------
    TestSet
        The examples.

    Raises
    ------
    DataError
        If an array is not as described.
    """
    images = check_images(images, f"{name}: the images")
    return TestSet(
        pool=images,
        rows=np.arange(len(images)),
        label=check_labels(label, len(images), classes, name),
        id=text_array(_ids("test", len(images)) if ids is None else ids),
        digest=identity.array_digests(images) if digest is None else digest,
    )


def _held_out_roles(label: np.ndarray, name: str) -> np.ndarray:
    """The roles (N,) of rows of which a stratified fifth is held out. Raises DataError."""
    role = np.full(len(label), TRAIN, dtype=np.uint8)
    role[held_out_rows(label)] = HELD_OUT
    if not role.any():
        raise DataError(
            f"{name}: every class has fewer than three images, too few to hold out a fifth; "
            "give it a test set"
        )
    return role


def _check_every_class(label: np.ndarray, class_names: tuple[str, ...], name: str) -> None:
    """Raise DataError unless there are two classes, and each has one of these labels."""
    if len(class_names) < 2:
        raise DataError(
            f"{name} has one class only ({class_names[0]!r}); a classifier requires at least two"
        )
    absent = np.flatnonzero(np.bincount(label, minlength=len(class_names)) == 0)
    if len(absent):
        raise DataError(
            f"{name}: class {absent[0]} ({class_names[absent[0]]!r}) is empty: every class must "
            "have a training example"
        )


def _ids(split: str, count: int) -> np.ndarray:
    return np.char.add(f"{split}/", np.arange(count).astype(np.str_))
