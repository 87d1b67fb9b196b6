"""Arrays under the names `x_train`, `y_train`, ...

An npz file holds them, and a user's function may return them.
"""

from collections.abc import Mapping

import numpy as np

from prune_kit.data.dataset import Dataset, from_arrays
from prune_kit.errors import DataError

NEEDED = ("x_train", "y_train")
OPTIONAL = ("x_test", "y_test", "class_names", "ids")


def from_named_arrays(arrays: Mapping[str, object], *, name: str, spec: str) -> Dataset:
    """Make a `Dataset` of named arrays.

    Parameters
    ----------
    arrays
        `x_train`, uint8 (N, H, W) or (N, H, W, C), and `y_train`, (N,) or (N, 1). Optional are
        `x_test` with `y_test`, `class_names` (C,), and `ids` (N,), one text per training image.
        Other names are not used.
    name
        What the data set is called.
    spec
        The specification by which it is loaded again.

    Returns
    -------
    Dataset
        The data set.

    Raises
    ------
    DataError
        If an array is missing or not as described. The error lists the names of the arrays.
    """
    given = [key for key in (*NEEDED, *OPTIONAL) if key in arrays and arrays[key] is not None]
    present = {key: _array(arrays[key], f"{name}: {key}") for key in given}
    missing = [key for key in NEEDED if key not in present]
    if missing:
        names_given = ", ".join(map(str, arrays)) or "nothing"
        raise DataError(
            f"{name} lacks {' and '.join(missing)}; it has: {names_given}. Required are "
            f"{' and '.join(NEEDED)}"
        )
    if ("x_test" in present) != ("y_test" in present):
        only, other = ("x_test", "y_test") if "x_test" in present else ("y_test", "x_test")
        raise DataError(
            f"{name} has {only}, but it lacks {other}; give both, or neither to have a fifth of "
            "the rows held out"
        )
    for key, array in present.items():
        if array.dtype == object:
            raise DataError(
                f"{name}: {key} is an array of Python objects; save it as plain numbers or texts"
            )
    class_names = None
    if "class_names" in present:
        class_names = tuple(_texts(present["class_names"], f"{name}: class_names"))
    return from_arrays(
        present["x_train"],
        _column(present["y_train"]),
        name=name,
        spec=spec,
        class_names=class_names,
        ids=_texts(present["ids"], f"{name}: ids") if "ids" in present else None,
        test_images=present.get("x_test"),
        test_label=_column(present["y_test"]) if "y_test" in present else None,
    )


def _array(value: object, where: str) -> np.ndarray:
    try:
        return np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:  # ragged lists, or a tensor on a GPU
        raise DataError(f"{where} is not an array: {' '.join(str(error).split())}") from error


def _column(labels: np.ndarray) -> np.ndarray:
    """The labels as (N,), also where they are (N, 1), as Keras saves them."""
    return labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels


def _texts(array: np.ndarray, where: str) -> list[str]:
    if array.ndim != 1 or array.dtype.kind not in "USiu":
        raise DataError(f"{where} is {array.dtype} {array.shape}; expected a list of texts")
    try:
        texts = [
            value.decode("utf-8") if isinstance(value, bytes) else str(value)
            for value in array.tolist()
        ]
        "".join(texts).encode("utf-8")  # names of files in Python may hold bytes that are no text
        return texts
    except (UnicodeDecodeError, UnicodeEncodeError) as error:
        raise DataError(
            f"{where} holds bytes that are not UTF-8 text: {error.object[error.start :][:40]!r}"
        ) from error
