from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from prune_kit.scorers.forgetting import forgetting_events, never_learned


def events(*history: int) -> float:
    return float(forgetting_events(np.array(history, dtype=np.int8)[:, None])[0])


def test_a_hand_made_history() -> None:
    assert events(1, 1, 1, 1) == 0
    assert events(0, 1, 0, 1, 0) == 2
    assert events(0, 0, 0, 1) == 0
    assert events(1, 0, 0, 1, 0) == 2


def test_an_example_never_learned_counts_every_epoch_which_is_above_any_possible_count() -> None:
    assert events(0, 0, 0, 0) == 4
    assert events(0) == 1
    assert events(1, 0, 1, 0) == 2 < 4


def test_an_epoch_in_which_the_example_was_not_presented_is_passed_over() -> None:
    assert events(1, -1, 0) == 1
    assert events(-1, 0, -1) == 3
    assert np.isnan(events(-1, -1))


def test_never_learned_runs_are_counted() -> None:
    per_run = np.array([[4.0, 0, 4], [4, 1, 0]])
    assert never_learned(per_run, 4).tolist() == [2, 0, 1]


@given(
    arrays(
        np.int8,
        st.tuples(st.integers(1, 8), st.integers(1, 5)),
        elements=st.sampled_from([-1, 0, 1]),
    )
)
def test_counts_equal_a_walk_through_each_history(correct: np.ndarray) -> None:
    found = forgetting_events(correct)
    for column, count in zip(correct.T, found, strict=True):
        seen = [value for value in column if value >= 0]
        if not seen:
            assert np.isnan(count)
        elif 1 not in seen:
            assert count == len(column)
        else:
            assert count == sum(a == 1 and b == 0 for a, b in pairwise(seen))
            assert count < len(column)
