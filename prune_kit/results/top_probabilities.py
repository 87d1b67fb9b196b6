"""Probabilities of many classes, kept as the few that matter: the likeliest classes, and the given label's."""

import numpy as np
from jaxtyping import Float, Int

KEPT = 5


def packed(
    probability: Float[np.ndarray, "N C"], label: Int[np.ndarray, "N"]
) -> tuple[Float[np.ndarray, "N K"], Int[np.ndarray, "N K"]]:
    """The KEPT largest probabilities of each row, largest first, as float16, and their classes.

    Where the label is not among these classes, it takes the place of the last. Rows of NaN stay
    rows of NaN.
    """
    rows = np.arange(len(label))[:, None]
    classes = np.argpartition(probability, -KEPT, axis=1)[:, -KEPT:]
    classes = classes[rows, np.argsort(-probability[rows, classes], axis=1, kind="stable")]
    lacking = (classes != label[:, None]).all(axis=1)
    classes[lacking, -1] = label[lacking]
    return probability[rows, classes].astype(np.float16), classes.astype(np.int32)


def dense(
    values: Float[np.ndarray, "N K"], classes: Int[np.ndarray, "N K"], count: int
) -> Float[np.ndarray, "N C"]:
    """What `packed` kept, over all `count` classes, float16; the others share what is left of 1 evenly."""
    left = np.maximum(1 - values.astype(np.float64).sum(axis=1), 0)  # NaN stays
    found = np.repeat((left / (count - values.shape[1])).astype(np.float16)[:, None], count, axis=1)
    np.put_along_axis(found, classes.astype(np.int64), values, axis=1)
    return found
