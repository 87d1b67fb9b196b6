"""Planted noise: what each kind does to the labels, and the file that remembers the truth."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prune_kit.data.dataset import Dataset, from_arrays
from prune_kit.data.identity import HELD_OUT
from prune_kit.data.noise import KINDS, NoisyLabels, plant, read_matrix
from prune_kit.data.spec import load_data
from prune_kit.errors import DataError, FileError, IdentityError, OptionError, PruneKitError

MATRIX = np.array([[0.7, 0.3, 0.0], [0.0, 1.0, 0.0], [0.1, 0.2, 0.7]])


def small_data(count: int = 90, seed: int = 0) -> Dataset:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, 2, 2), dtype=np.uint8)
    return from_arrays(images, np.arange(count) % 3, name="mine", spec="mine:here")


@given(st.sampled_from(sorted(KINDS)), st.floats(0, 1), st.integers(0, 5))
def test_every_kind_touches_the_rounded_share_of_the_training_rows_and_no_other(kind, rate, seed):
    data = small_data()
    planted = plant(data, kind, rate=rate, seed=seed)
    assert planted.touched.sum() == round(rate * len(data.rows.training))
    assert not planted.touched[data.rows.role == HELD_OUT].any()
    np.testing.assert_array_equal(
        planted.rows.label[~planted.touched], data.labels[~planted.touched]
    )
    np.testing.assert_array_equal(planted.rows.true_label, data.labels)
    np.testing.assert_array_equal(planted.wrong, np.flatnonzero(planted.rows.label != data.labels))


@given(st.floats(0, 1), st.integers(0, 5))
def test_permuted_labels_keep_the_total_of_every_class(rate, seed):
    data = small_data()
    planted = plant(data, "permute", rate=rate, seed=seed)
    np.testing.assert_array_equal(np.bincount(planted.rows.label), np.bincount(data.labels))


@given(st.floats(0, 1), st.integers(0, 5))
def test_a_flipped_label_is_never_the_right_one(rate, seed):
    planted = plant(small_data(), "flip", rate=rate, seed=seed)
    np.testing.assert_array_equal(planted.wrong, np.flatnonzero(planted.touched))


def test_flipped_labels_are_every_other_class_equally_often():
    data = small_data(30_000)
    planted = plant(data, "flip", rate=1.0)
    for c in range(3):
        became = np.bincount(planted.rows.label[(data.labels == c) & planted.touched], minlength=3)
        assert became[c] == 0
        assert np.abs(became / became.sum() - 0.5)[np.arange(3) != c].max() < 0.03


def test_pairs_go_to_the_next_class_and_the_last_to_the_first():
    data = small_data()
    planted = plant(data, "pair", rate=1.0)
    rows = data.rows.training
    np.testing.assert_array_equal(planted.rows.label[rows], (data.labels[rows] + 1) % 3)


def test_uniform_noise_leaves_one_label_in_as_many_as_there_are_classes_right():
    planted = plant(small_data(30_000), "uniform", rate=0.5)
    assert len(planted.wrong) / planted.touched.sum() == pytest.approx(2 / 3, abs=0.02)


def test_a_matrix_gives_the_rates_that_it_states():
    data = small_data(30_000)
    planted = plant(data, "matrix", matrix=MATRIX)
    rows = data.rows.training
    counts = np.array(
        [
            np.bincount(planted.rows.label[rows][data.labels[rows] == c], minlength=3)
            for c in range(3)
        ]
    )
    np.testing.assert_allclose(counts / counts.sum(axis=1, keepdims=True), MATRIX, atol=0.015)
    np.testing.assert_array_equal(counts == 0, MATRIX == 0)
    np.testing.assert_array_equal(np.flatnonzero(planted.touched), planted.wrong)


def test_the_same_seed_plants_the_same_and_another_plants_others():
    data = small_data()
    one, same, other = (plant(data, "flip", rate=0.3, seed=seed).rows.label for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_the_file_comes_back_and_goes_over_the_data(tmp_path):
    data = small_data()
    planted = plant(data, "flip", rate=0.3, seed=4)
    planted.write(tmp_path / "labels.h5")
    read = NoisyLabels.read(tmp_path / "labels.h5")
    noisy = read.over(data, tmp_path / "labels.h5")
    np.testing.assert_array_equal(noisy.labels, planted.rows.label)
    np.testing.assert_array_equal(noisy.true_labels, data.labels)
    np.testing.assert_array_equal(read.touched, planted.touched)
    assert read.parameters == {"kind": "flip", "rate": 0.3, "matrix": None, "seed": 4}
    np.testing.assert_array_equal(noisy.test.label, data.test.label)


def test_load_data_takes_the_file(tmp_path):
    plant(load_data("digits"), "pair", rate=0.25).write(tmp_path / "labels.h5")
    noisy = load_data("digits", labels=tmp_path / "labels.h5")
    assert noisy.true_labels is not None
    assert (noisy.labels != noisy.true_labels).sum() == round(0.25 * len(noisy.rows.training))


def test_noise_is_never_planted_on_planted_noise(tmp_path):
    data = small_data()
    noisy = plant(data, "flip", rate=0.3).over(data, tmp_path / "labels.h5")
    with pytest.raises(DataError, match=r"has planted or replaced labels already \(.*labels.h5\)"):
        plant(noisy, "flip", rate=0.1)


def test_labels_planted_in_other_data_are_refused(tmp_path):
    planted = plant(small_data(), "flip", rate=0.3)
    with pytest.raises(IdentityError, match="is not the data of the labels"):
        planted.over(small_data(seed=1), tmp_path / "labels.h5")
    relabelled = small_data()
    relabelled = replace(
        relabelled, rows=replace(relabelled.rows, label=relabelled.labels[::-1].copy())
    )
    with pytest.raises(IdentityError, match="are relabelled"):
        planted.over(relabelled, tmp_path / "labels.h5")


def test_another_file_is_refused(tmp_path):
    with pytest.raises(FileError, match="there is no file"):
        NoisyLabels.read(tmp_path / "none.h5")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "flop", "rate": 0.1}, "unknown noise 'flop'. Did you mean 'flip'"),
        ({"kind": "flip", "rate": 1.1}, "rate=1.1 is out of range"),
        ({"kind": "flip", "rate": float("nan")}, "rate=nan is out of range"),
        ({"kind": "flip"}, "kind='flip' requires `rate`"),
        ({"kind": "matrix", "rate": 0.1}, "kind='matrix' requires `matrix`"),
        (
            {"kind": "matrix", "rate": 0.1, "matrix": MATRIX},
            "kind='matrix' requires `matrix`, and does not use `rate`",
        ),
        ({"kind": "pair", "rate": 0.1, "matrix": MATRIX}, "and does not use `matrix`"),
    ],
)
def test_what_does_not_fit_is_refused(options, message):
    with pytest.raises(PruneKitError) as caught:
        plant(small_data(), **options)
    assert message in str(caught.value)


def test_a_matrix_is_read_from_npy_csv_and_text(tmp_path):
    np.save(tmp_path / "m.npy", MATRIX)
    np.savetxt(tmp_path / "m.csv", MATRIX, delimiter=",")
    np.savetxt(tmp_path / "m.txt", MATRIX)
    for name in ("m.npy", "m.csv", "m.txt"):
        np.testing.assert_allclose(read_matrix(tmp_path / name, 3), MATRIX)


def test_a_broken_array_file_is_no_matrix(tmp_path):
    np.save(tmp_path / "m.npy", MATRIX)
    whole = (tmp_path / "m.npy").read_bytes()
    (tmp_path / "m.npy").write_bytes(whole.replace(b"'fortran_order'", b"'fortran_order("))
    with pytest.raises(OptionError, match="cannot be read as numbers"):
        read_matrix(tmp_path / "m.npy", 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a b\nc d", "cannot be read as numbers"),
        ("", r"is \(0,\); expected \(3, 3\)"),
        ("1 0 0\n0 1", "cannot be read as numbers: its rows are not equally long"),
        ("1 0\n0 1", r"is \(2, 2\); expected \(3, 3\)"),
        ("1 0 0\n0 2 -1\n0 0 1", "must hold shares from 0 to 1 that add up to 1"),
        ("1 0 0\n0 1 0\n0 0 0.5", "must hold shares from 0 to 1 that add up to 1"),
    ],
)
def test_a_matrix_that_is_none_is_refused(tmp_path, text, message):
    (tmp_path / "m.txt").write_text(text)
    with pytest.raises(OptionError, match=message):
        read_matrix(tmp_path / "m.txt", 3)


def test_a_matrix_of_other_than_real_numbers_or_that_is_no_file_is_refused(tmp_path):
    np.save(tmp_path / "m.npy", MATRIX.astype(complex))
    with pytest.raises(
        OptionError, match="cannot be read as numbers: they are complex128, and not real"
    ):
        read_matrix(tmp_path / "m.npy", 3)
    for path, message in (
        (tmp_path / "none.csv", "No such file or directory"),
        (tmp_path, "Is a directory"),
    ):
        with pytest.raises(OptionError, match=rf"{path.name} cannot be read: {message}$"):
            read_matrix(path, 3)


def test_a_negative_seed_is_refused():
    with pytest.raises(OptionError, match="seed=-1 is out of range; at least 0"):
        plant(small_data(), "uniform", rate=0.1, seed=-1)
