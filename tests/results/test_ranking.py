"""The order of ranking against sorting by two keys, one after the other."""

from unittest.mock import patch

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from prune_kit.results import ranking
from prune_kit.results.ranking import ascending, last, median, parts

VALUES = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, 1e-45, -1e-45]),
    st.floats(width=32, allow_nan=False),
)
DIGESTS = st.one_of(
    st.sampled_from([0, 1, 2**32, 2**32 + 1, 2**63, 2**64 - 1]), st.integers(0, 2**64 - 1)
)


@st.composite
def scored(draw: st.DrawFn, dtype: type = np.float32) -> tuple[np.ndarray, np.ndarray]:
    """Values and digests with many ties in either, or in both."""
    count = draw(st.integers(0, 40))
    values = draw(arrays(dtype, count, elements=VALUES))
    return values, draw(arrays(np.uint64, count, elements=DIGESTS))


@given(scored())
def test_the_order_is_by_value_then_digest_then_position(
    pair: tuple[np.ndarray, np.ndarray],
) -> None:
    values, digest = pair
    obvious = sorted(range(len(values)), key=lambda at: (float(values[at]), int(digest[at]), at))
    assert ascending(values, digest).tolist() == obvious


@given(scored(np.float64))
def test_doubles_are_ordered_too(pair: tuple[np.ndarray, np.ndarray]) -> None:
    values, digest = pair
    obvious = sorted(range(len(values)), key=lambda at: (float(values[at]), int(digest[at]), at))
    assert ascending(values, digest).tolist() == obvious


@given(scored(), st.integers(1, 5), st.data())
def test_the_last_ones_are_the_end_of_the_order(
    pair: tuple[np.ndarray, np.ndarray], count: int, data: st.DataObject
) -> None:
    values, digest = pair
    drawn = np.array(
        data.draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values))), dtype=bool
    )
    if data.draw(st.booleans()):
        drawn[:] = True
    values[~drawn] = data.draw(st.sampled_from([np.nan, 5.0]))
    rows = np.flatnonzero(drawn)
    whole = rows[ascending(values[rows], digest[rows])]
    with patch.object(ranking, "BLOCK", data.draw(st.sampled_from([1, 3, 1024]))):
        assert last(values, digest, drawn, count).tolist() == whole[-count:].tolist()


@given(scored(), st.data())
def test_parts_are_those_of_the_order_cut_in_pieces(
    pair: tuple[np.ndarray, np.ndarray], data: st.DataObject
) -> None:
    values, digest = pair
    count = len(values)
    cuts = data.draw(st.lists(st.integers(0, count), max_size=3))
    place = np.argsort(ascending(values, digest))
    expected = [sum(int(at) <= place[position] for at in cuts) for position in range(count)]
    assert parts(values, digest, *cuts).tolist() == expected
    assert parts(values.astype(np.float64), digest, *cuts).tolist() == expected


@given(arrays(np.float32, st.integers(1, 30), elements=st.floats(-1e6, 1e6, width=32)))
def test_the_median_is_the_median(values: np.ndarray) -> None:
    np.testing.assert_allclose(median(values), np.median(values.astype(np.float64)), rtol=1e-12)
