"""Probabilities of many classes, of which a file keeps the largest and that of the label."""

import numpy as np
from jaxtyping import Float, Int

KEPT = 5


def packed(
    probability: Float[np.ndarray, "N C"], label: Int[np.ndarray, "N"]
) -> tuple[Float[np.ndarray, "N K"], Int[np.ndarray, "N K"]]:
    """The KEPT largest probabilities of each row, largest first, and their classes.

    If the label is not among these classes, it takes the place of the last one. Rows of NaN stay
    rows of NaN.

    Returns
    -------
    ndarray
        The probabilities (N, KEPT), float16.
    ndarray
        Their classes (N, KEPT), int32.
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
    """The probabilities of all `count` classes from those that `packed` kept, float16.

    The other classes share the rest of 1 evenly.

    Parameters
    ----------
    values
        The kept probabilities (N, K), float16.
    classes
        Their classes (N, K).
    count
        The number of classes, C. It is more than K.
    """
    rest = np.maximum(1 - values.astype(np.float64).sum(axis=1), 0)  # NaN stays
    share = (rest / (count - values.shape[1])).astype(np.float16)
    probability = np.repeat(share[:, None], count, axis=1)
    np.put_along_axis(probability, classes.astype(np.int64), values, axis=1)
    return probability
