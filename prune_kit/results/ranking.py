"""The order in which examples are ranked: by score, then by content digest, then by row.

The digest breaks ties. So tied examples never follow the order of the classes in a folder.
"""

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8, UInt64

BLOCK = 1024  # values of which only the highest is looked at first
# from this share of the rows with one score on, ties decide what a cut at that score keeps
TIED = 0.01


def ascending(
    values: Float[np.ndarray, "n"], digest: UInt64[np.ndarray, "n"]
) -> Int[np.ndarray, "n"]:
    """The positions of values sorted by (value, digest, position).

    float32 values are sorted by one number each, which is several times as fast as by two. Where
    these numbers are equal, the whole keys decide.

    Parameters
    ----------
    values
        The scores, without NaN.
    digest
        The content digest of each example.
    """
    if values.dtype != np.float32:
        return np.lexsort((digest, values))
    key = _one_key(values, digest)
    order = np.argsort(key)
    equal = np.diff(key[order]) == 0
    if equal.any():
        tied = np.flatnonzero(np.append(equal, False) | np.append(False, equal))
        positions = order[tied]
        order[tied] = positions[np.lexsort((positions, digest[positions], key[positions]))]
    return order


def parts(
    values: Float[np.ndarray, "n"], digest: UInt64[np.ndarray, "n"], *cuts: int
) -> UInt8[np.ndarray, "n"]:
    """The part of the `ascending` order that each value lies in.

    The values are not sorted, unless a cut goes through values that one number cannot tell apart.

    Parameters
    ----------
    values
        The scores, without NaN.
    digest
        The content digest of each example.
    cuts
        Places in the order.

    Returns
    -------
    ndarray
        For each value the number of cuts that it lies at or behind.
    """
    count = len(values)
    passed = np.zeros(count, dtype=np.uint8)
    if values.dtype == np.float32:
        key = _one_key(values, digest)
        behind = {at: key >= np.partition(key, at)[at] for at in cuts if at < count}
        if all(np.count_nonzero(mask) == count - at for at, mask in behind.items()):
            for at in cuts:
                passed += behind.get(at, False)
            return passed
    order = ascending(values, digest)
    passed[order] = np.searchsorted(sorted(cuts), np.arange(count), side="right")
    return passed


def last(
    values: Float[np.ndarray, "N"],
    digest: UInt64[np.ndarray, "N"],
    drawn: Bool[np.ndarray, "N"],
    count: int,
) -> Int[np.ndarray, "k"]:
    """The last `count` of the `drawn` rows in their `ascending` order; all if there are fewer.

    The other rows stay unsorted, and their digests are not read. The `count` highest of the maxima
    of all blocks are a lower bound of the `count` highest values.

    Parameters
    ----------
    values
        The values (N,). Those of the `drawn` rows are not NaN.
    digest
        The content digest of each row, (N,).
    drawn
        Which rows count, (N,) bool.
    count
        How many of these are wanted, 1 or more.
    """
    candidates = values if drawn.all() else np.where(drawn, values, -np.inf)
    highest = candidates
    if len(values):
        highest = np.maximum.reduceat(candidates, np.arange(0, len(values), BLOCK))
    floor = np.partition(highest, -count)[-count] if count <= len(highest) else -np.inf
    rows = np.flatnonzero((candidates >= floor) & drawn)
    order: np.ndarray = rows[ascending(values[rows], digest[rows])]
    return order[-count:]


def taken(values: np.ndarray, rows: Int[np.ndarray, "n"]) -> np.ndarray:
    """The values of distinct, ascending `rows`; no copy where these are all rows."""
    return values if len(rows) == len(values) else values[rows]


def median(values: Float[np.ndarray, "n"]) -> float:
    """The median of at least one value, without NaN, in a quarter of numpy's time for many."""
    middle = len(values) // 2
    ordered = np.partition(values, middle)
    upper = float(ordered[middle])
    return upper if len(values) % 2 else (float(ordered[:middle].max()) + upper) / 2


def _one_key(
    values: Float[np.ndarray, "n"], digest: UInt64[np.ndarray, "n"]
) -> Int[np.ndarray, "n"]:
    """One int64 for each float32 value and the upper half of its digest, in the same order."""
    bits = (values + np.float32(0)).view(np.int32)  # -0.0 becomes 0.0, its equal
    ordered = bits ^ (bits >> 31 & 0x7FFFFFFF)  # where the sign is set, the magnitude counts down
    return ordered.astype(np.int64) << 32 | (digest >> 32).astype(np.int64)
