import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from prune_kit import pipeline
from tests.small_tables import table_of


def select(n=40, **options):
    return pipeline.select(
        table_of([float("nan")] * n, label=np.arange(n) % 2), rule="random", **options
    )


@given(n=st.integers(2, 60), keep=st.floats(0.3, 1), seed=st.integers(0, 100))
def test_the_size_is_the_rounded_share(n, keep, seed):
    assert len(select(n, keep=keep, seed=seed).index) == round(keep * n)


@given(half=st.integers(2, 30), keep=st.floats(0.3, 1))
def test_each_class_keeps_the_rounded_share_of_itself(half, keep):
    np.testing.assert_array_equal(
        select(2 * half, keep=keep, per_class=True).class_shares(), round(keep * half) / half
    )


def test_the_seed_decides_and_nothing_else_does():
    first = select(keep=0.5, seed=1)
    np.random.seed(7)  # noqa: NPY002  # the global generator must not matter
    assert select(keep=0.5, seed=1).index.tolist() == first.index.tolist()
    assert select(keep=0.5, seed=2).index.tolist() != first.index.tolist()
    assert select(keep=0.5).index.tolist() == select(keep=0.5, seed=0).index.tolist()


def test_every_row_is_drawn_about_equally_often():
    counts = np.bincount(
        np.concatenate([select(20, keep=0.25, seed=seed).index for seed in range(400)]),
        minlength=20,
    )
    assert np.all(np.abs(counts - 100) < 5 * np.sqrt(400 * 0.25 * 0.75))


def test_no_score_is_needed_nor_stored_unless_one_is_named():
    assert (select().column, select().score) == ("", None)
    named = select(by="el2n@20")
    assert named.column == "el2n@20"
    assert named.index.tolist() == select().index.tolist()


def test_it_says_what_it_did_and_speaks_of_no_window():
    assert select(keep=0.5).describe() == "kept 20 of 40 training rows (50.0%) by rule random"
    assert select(keep=1.0).describe() == "kept 40 of 40 training rows (100.0%) by rule random"
