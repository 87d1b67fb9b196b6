"""A reader of pickles with plain values and arrays of bytes. It does not run code from the pickle.

A pickle may name any function and have it called. This reader knows the five names that an array in
such a file requires, replaces each by a harmless stand-in, and refuses every other name before it
is imported. Numpy's own functions are not called either: with forged arguments, numpy's
`dtype.__setstate__` crashes the interpreter (this was tried).
"""

import io
import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np

from prune_kit.errors import DataError


def read_plain_pickle(content: bytes, where: str) -> dict[str, Any]:
    """Read the dictionary in a pickle of Python 2 or 3.

    Parameters
    ----------
    content
        The bytes of the pickle.
    where
        Where they come from, for the error.

    Returns
    -------
    dict
        The values by their keys as text. Arrays are uint8 and read-only.

    Raises
    ------
    DataError
        If the pickle names a function that is not admitted, is damaged, or does not hold a
        dictionary.
    """
    try:
        value = _PlainUnpickler(io.BytesIO(content), encoding="bytes").load()
    except DataError as error:
        raise DataError(f"{where} {error}") from error
    except Exception as error:  # a damaged pickle may raise any error
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"{where} is not a whole pickle (damaged or truncated?): {reason}. Fetch it again"
        ) from error
    if not isinstance(value, dict):
        raise DataError(f"{where} holds a {type(value).__name__}; expected a dictionary")
    return {
        _text(key): entry.array if isinstance(entry, _Array) else entry
        for key, entry in value.items()
    }


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        if (module, name) not in _ADMITTED:
            named = " ".join(f"{module}.{name}".split())
            raise DataError(
                f"names {named}, which a data file does not require; nothing was run. Do not trust "
                "this file"
            )
        return _ADMITTED[module, name]


class _ByteType:
    """The stand-in for numpy.dtype, which admits bytes only."""

    def __init__(self, code: object, *_: object) -> None:
        if code not in ("u1", b"u1"):
            raise DataError(f"holds an array of type {code!r}; expected bytes ('u1')")

    def __setstate__(self, _: object) -> None:
        """Ignore the byte order and the fields, which bytes do not have."""


class _Array:
    """The stand-in for numpy.ndarray, which makes an array if shape and content agree."""

    array: object = None

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise DataError("holds an array of an unknown kind")
        _, shape, byte_type, column_first, raw = state
        plain = isinstance(shape, tuple) and all(
            isinstance(length, int) and length >= 0 for length in shape
        )
        if (
            not plain
            or not isinstance(byte_type, _ByteType)
            or not isinstance(raw, bytes)
            or len(raw) != math.prod(shape)
        ):
            raise DataError("holds an array whose shape and content do not agree (damaged?)")
        self.array = np.frombuffer(raw, np.uint8).reshape(shape, order="F" if column_first else "C")


def _reconstruct(*_: object) -> _Array:
    """The stand-in for numpy's function that makes an empty array, which `__setstate__` fills."""
    return _Array()


def _latin1(text: str, encoding: str) -> bytes:
    """The stand-in for `_codecs.encode`, by which Python 3 writes bytes in protocol 2."""
    if encoding != "latin1":
        raise DataError(f"encodes as {encoding!r}; expected 'latin1'")
    return text.encode("latin1")


def _text(key: object) -> str:
    return key.decode("latin1") if isinstance(key, bytes) else str(key)


_ADMITTED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,  # numpy 1
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,  # numpy 2
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _ByteType,
    ("_codecs", "encode"): _latin1,
}
