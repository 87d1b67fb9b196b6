"""Probes: which rows get a planted label, and that a planted label is always wrong."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prune_kit.data.dataset import Dataset, from_arrays
from prune_kit.data.identity import HELD_OUT
from prune_kit.data.noise import NO_PROBE, draw_probes, planted
from prune_kit.errors import OptionError
from tests.conftest import shapes_data
from tests.small_tables import rows_of


def alone(count: int = 90) -> Dataset:
    """Rows of three classes, of which a fifth plays the test set."""
    images = np.random.default_rng(0).integers(0, 256, (count, 2, 2), dtype=np.uint8)
    return from_arrays(images, np.arange(count) % 3, name="mine", spec="mine:here")


@given(
    n=st.integers(4, 200),
    classes=st.integers(2, 5),
    share=st.floats(0.01, 0.49),
    seed=st.integers(0, 9),
    data=st.data(),
)
def test_the_rounded_share_of_the_training_rows_gets_a_wrong_label_and_no_other_row_one(
    n, classes, share, seed, data
):
    label = np.arange(n) % classes
    role = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)), dtype=np.uint8)
    rows = rows_of(label, role=role, class_names=tuple("abcde"[:classes]))
    count = round(share * len(rows.training))
    if not count:
        with pytest.raises(OptionError, match="is less than one row"):
            draw_probes(rows, share, seed)
        return
    drawn = draw_probes(rows, share, seed)
    probes = np.flatnonzero(drawn != NO_PROBE)
    assert len(probes) == count
    assert (role[probes] != HELD_OUT).all()
    assert (drawn[probes] != label[probes]).all()
    assert ((drawn[probes] >= 0) & (drawn[probes] < classes)).all()
    np.testing.assert_array_equal(draw_probes(rows, share, seed), drawn)


def test_another_seed_plants_in_other_rows():
    rows = alone().rows
    assert not np.array_equal(draw_probes(rows, 0.2, 0), draw_probes(rows, 0.2, 1))


def test_every_other_class_is_planted_equally_often():
    rows = rows_of(np.arange(30_000) % 3)
    drawn = draw_probes(rows, 0.4, 0)
    for c in range(3):
        became = np.bincount(drawn[(rows.label == c) & (drawn != NO_PROBE)], minlength=3)
        assert became[c] == 0
        assert np.abs(became / became.sum() - 0.5)[np.arange(3) != c].max() < 0.03


def test_every_training_row_may_be_a_probe():
    rows = alone().rows
    often = sum((draw_probes(rows, 0.3, seed) != NO_PROBE).astype(int) for seed in range(60))
    assert (often[rows.training] > 0).all()


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0, -0.1, float("nan"), float("inf")])
def test_a_share_out_of_range_is_refused(share):
    with pytest.raises(
        OptionError, match=rf"probes={share:g} is out of range; .*above 0 and below 0.5"
    ):
        draw_probes(alone().rows, share, 0)


@given(st.integers(2, 5000))
def test_a_share_that_makes_no_probe_is_refused_with_one_that_makes_some(n):
    rows = rows_of(np.arange(n) % 2)
    with pytest.raises(OptionError) as caught:
        draw_probes(rows, 0.1 / n, 0)
    least = float(str(caught.value).rpartition("probes=")[2])
    assert (draw_probes(rows, least, 0) != NO_PROBE).sum() == 1


@pytest.mark.parametrize("relabelled", [False, True])
@pytest.mark.parametrize("make_data", [alone, shapes_data])
def test_the_test_set_and_the_true_labels_stay_as_they_are(make_data, relabelled):
    data = make_data()
    if relabelled:
        data = data.relabelled((data.labels + (np.arange(len(data)) % 4 == 0)) % 3, "noisy.npy")
    drawn = draw_probes(data.rows, 0.2, 0)
    under = planted(data, drawn)
    np.testing.assert_array_equal(under.labels, np.where(drawn == NO_PROBE, data.labels, drawn))
    assert under.fingerprint != data.fingerprint
    assert under.test.fingerprint == data.test.fingerprint
    np.testing.assert_array_equal(under.test.label, data.test.label)
    np.testing.assert_array_equal(under.test.images, data.test.images)
    assert (under.true_labels is None) == (data.true_labels is None)
    if relabelled:
        np.testing.assert_array_equal(under.true_labels, data.true_labels)
    assert under.rows.options == data.rows.options
    assert data.fingerprint == make_data().fingerprint or relabelled  # the data itself is untouched
