"""Checks of the arrays that a data set is made of. Each refuses an array with a DataError."""

import numpy as np

from prune_kit.errors import DataError


def check_images(images: np.ndarray, name: str) -> np.ndarray:
    """Check images, and give grey ones an axis for their single channel.

    Parameters
    ----------
    images
        The images.
    name
        What they are, for the error.

    Returns
    -------
    uint8 (N, H, W, C)
        The images.

    Raises
    ------
    DataError
        If they are not uint8 (N, H, W) or (N, H, W, 1 or 3), or N is 0.
    """
    if images.ndim == 3:
        images = images[..., None]
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3):
        raise DataError(
            f"{name} are {images.dtype} {images.shape}; expected uint8 (N, H, W) or (N, H, W, 1 "
            "or 3)"
        )
    if not len(images):
        raise DataError(f"{name}: the array is empty")
    return images


def check_labels(label: np.ndarray, count: int, classes: int, name: str) -> np.ndarray:
    """Check labels, and convert them to int64.

    Parameters
    ----------
    label
        The labels.
    count
        How many labels are expected.
    classes
        The number of classes, C.
    name
        What they are, for the error.

    Returns
    -------
    int64 (N,)
        The labels.

    Raises
    ------
    DataError
        If they are not integers, their number is not `count`, or one is not in 0 .. C - 1.
    """
    label = np.asarray(label)
    if label.ndim != 1 or len(label) != count:
        raise DataError(
            f"{name}: labels have shape {label.shape}; expected ({count},), one per image"
        )
    if label.dtype.kind not in "iu":
        raise DataError(
            f"{name}: labels are {label.dtype}; expected integers 0 .. {max(classes - 1, 0)}"
        )
    wrong = np.flatnonzero((label < 0) | (label >= classes))
    if len(wrong):
        raise DataError(
            f"{name}: label {label[wrong[0]]} in row {wrong[0]} is out of range 0 .. {classes - 1}"
        )
    return label.astype(np.int64)


def count_classes(label: np.ndarray, count: int, name: str) -> int:
    """The number of classes of a data set without class names: one more than the largest label.

    Parameters
    ----------
    label
        The labels.
    count
        The number of images. A data set has at most as many classes.
    name
        What the data set is called, for the error.

    Returns
    -------
    int
        The number of classes.

    Raises
    ------
    DataError
        If the labels are not integers, or the largest is not below `count`.
    """
    if label.dtype.kind not in "iu":
        raise DataError(f"{name}: labels are {label.dtype}; expected integers 0, 1, 2, ...")
    largest = int(label.max()) if label.size else -1
    if largest >= count:  # before each of, for example, a billion classes gets a name
        raise DataError(
            f"{name}: label {largest} is out of range; {count:,} images have at most {count:,} "
            "classes"
        )
    return largest + 1
