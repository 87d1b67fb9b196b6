"""The one order in which examples are ranked: by score, then content digest, then row.

The digest breaks ties, so that they never follow the order of the classes in a folder.
"""

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8, UInt64

BLOCK = 1024


def ascending(
    values: Float[np.ndarray, "n"], digest: UInt64[np.ndarray, "n"]
) -> Int[np.ndarray, "n"]:
    """The positions of `values`, none of them NaN, sorted by (value, digest, position).

    float32 is sorted by one number: several times as fast as by two. Where those are equal, the
    whole keys decide.
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
    """For each value how many of the `cuts`, places in the `ascending` order, it lies at or behind.

    The order is not made for it, unless a cut goes through values that one number cannot tell
    apart.
    """
    count, found = len(values), np.zeros(len(values), dtype=np.uint8)
    if values.dtype == np.float32:
        key = _one_key(values, digest)
        behind = {at: key >= np.partition(key, at)[at] for at in cuts if at < count}
        if all(np.count_nonzero(mask) == count - at for at, mask in behind.items()):
            for at in cuts:
                found += behind.get(at, False)
            return found
    found[ascending(values, digest)] = np.searchsorted(sorted(cuts), np.arange(count), side="right")
    return found


def last(
    values: Float[np.ndarray, "N"],
    digest: UInt64[np.ndarray, "N"],
    drawn: Bool[np.ndarray, "N"],
    count: int,
) -> Int[np.ndarray, "k"]:
    """The last `count` of the `drawn` rows in their `ascending` order, or all where there are fewer.

    The others stay unsorted, and their digests are not looked at: the highest values of `count`
    blocks are a floor under the highest of all.
    """
    theirs = values if drawn.all() else np.where(drawn, values, -np.inf)
    highest = (
        np.maximum.reduceat(theirs, np.arange(0, len(values), BLOCK)) if len(values) else theirs
    )
    floor = np.partition(highest, -count)[-count] if count <= len(highest) else -np.inf
    rows = np.flatnonzero((theirs >= floor) & drawn)
    order: np.ndarray = rows[ascending(values[rows], digest[rows])]
    return order[-count:]


def taken(values: np.ndarray, rows: Int[np.ndarray, "n"]) -> np.ndarray:
    """The values of distinct, rising `rows`; where these are all, the values themselves and no copy."""
    return values if len(rows) == len(values) else values[rows]


def median(values: Float[np.ndarray, "n"]) -> float:
    """The median of one value or more, none of them NaN; of many, numpy's own takes four times as long."""
    middle = len(values) // 2
    ordered = np.partition(values, middle)
    upper = float(ordered[middle])
    return upper if len(values) % 2 else (float(ordered[:middle].max()) + upper) / 2


def _one_key(
    values: Float[np.ndarray, "n"], digest: UInt64[np.ndarray, "n"]
) -> Int[np.ndarray, "n"]:
    """One int64 for each float32 value and its digest, of which the lower half is left out, in the same order."""
    bits = (values + np.float32(0)).view(np.int32)  # -0.0 becomes 0.0, its equal
    ordered = bits ^ (bits >> 31 & 0x7FFFFFFF)  # where the sign is set, the magnitude counts down
    return ordered.astype(np.int64) << 32 | (digest >> 32).astype(np.int64)
