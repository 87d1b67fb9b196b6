"""The confident joint against cleanlab's, against plain loops, and where the answer is known."""

import numpy as np
import pytest
from cleanlab import count
from hypothesis import given
from hypothesis import strategies as st

from prune_kit.cleaning import confident_joint as joints
from prune_kit.errors import OptionError

SEEDS = range(4)
CLASSES = (2, 3, 10)
DTYPES = (np.float64, np.float32)


def noisy(
    seed,
    classes,
    *,
    rows=400,
    noise=0.2,
    imbalance=1.0,
    sharpness=2.0,
    steps=None,
    dtype=np.float64,
):
    """Labels, some wrong, and probabilities; with `steps`, multiples of 1 / steps: many ties."""
    rng = np.random.default_rng(seed)
    shares = imbalance ** -np.arange(classes, dtype=float)
    true = rng.choice(classes, rows, p=shares / shares.sum())
    label = np.where(rng.random(rows) < noise, rng.integers(0, classes, rows), true)
    label[:classes] = np.arange(classes)
    logits = rng.normal(size=(rows, classes))
    logits[np.arange(rows), true] += sharpness * 2 * rng.random(rows)
    probabilities = np.exp(logits)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    if steps:
        probabilities = rng.multinomial(steps, probabilities) / steps
    return label, probabilities.astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("steps", [None, 10, 100])
@pytest.mark.parametrize("imbalance", [1.0, 1.7])
@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize("seed", SEEDS)
def test_thresholds_counts_and_calibrated_counts_are_those_of_cleanlab(
    seed, classes, imbalance, steps, dtype
):
    label, probabilities = noisy(seed, classes, imbalance=imbalance, steps=steps, dtype=dtype)
    expected = count.get_confident_thresholds(label, probabilities)
    np.testing.assert_allclose(joints.class_thresholds(label, probabilities), expected, rtol=1e-6)
    counts = joints.confident_joint(label, probabilities, calibrated=False)
    np.testing.assert_array_equal(
        counts, count.compute_confident_joint(label, probabilities, calibrate=False)
    )
    calibrated = joints.confident_joint(label, probabilities)
    np.testing.assert_array_equal(calibrated, count.compute_confident_joint(label, probabilities))
    np.testing.assert_allclose(joints.joint(calibrated), count.estimate_joint(label, probabilities))
    method = "off_diagonal_calibrated"
    wrong = count.num_label_issues(label, probabilities, estimation_method=method)
    assert round(joints.wrong_share(calibrated) * len(label)) == wrong


@pytest.mark.parametrize("classes", [3, 4, 10])
@pytest.mark.parametrize("seed", range(20))
def test_counts_are_those_of_cleanlab_where_classes_have_no_row_or_one(seed, classes):
    label, probabilities = noisy(seed, classes, rows=40)
    label[label == seed % classes] = (seed + 1) % classes
    label[label == (seed + 2) % classes] = (seed + 1) % classes
    label[seed] = (seed + 2) % classes
    np.testing.assert_allclose(
        joints.class_thresholds(label, probabilities),
        count.get_confident_thresholds(label, probabilities),
    )
    for calibrated in (False, True):
        np.testing.assert_array_equal(
            joints.confident_joint(label, probabilities, calibrated=calibrated),
            count.compute_confident_joint(label, probabilities, calibrate=calibrated),
        )


@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize("seed", SEEDS)
def test_noise_matrices_are_those_of_cleanlab(seed, classes):
    label, probabilities = noisy(seed, classes)
    counts = joints.confident_joint(label, probabilities)
    _, noise, inverse = count.estimate_latent(counts, label)
    np.testing.assert_allclose(joints.noise_matrix(counts), noise)
    np.testing.assert_allclose(joints.inverse_noise_matrix(counts), inverse)


def test_a_class_that_is_never_the_true_one_has_no_noise_rates():
    noise = joints.noise_matrix(np.array([[3, 0], [2, 0]]))
    np.testing.assert_allclose(noise, [[0.6, np.nan], [0.4, np.nan]])
    np.testing.assert_allclose(
        joints.inverse_noise_matrix(np.array([[3, 0], [2, 0]])), [[1, 1], [0, 0]]
    )


def test_a_class_without_any_probability_among_its_own_does_not_claim_every_row():
    label = np.array([0, 0, 1, 1, 2, 2])
    probabilities = np.array([[1, 0, 0]] * 4 + [[0, 0.5, 0.5]] * 2)
    for calibrated in (False, True):
        expected = count.compute_confident_joint(label, probabilities, calibrate=calibrated)
        found = joints.confident_joint(label, probabilities, calibrated=calibrated)
        np.testing.assert_array_equal(found, expected)
    assert joints.class_thresholds(label, probabilities)[1] == joints.LEAST_THRESHOLD


def test_a_collision_goes_to_the_largest_of_the_row_or_as_in_the_paper_of_the_confident():
    probabilities, thresholds = (
        np.array([[0.5, 0.2, 0.3], [0.1, 0.8, 0.1]]),
        np.array([0.6, 0.1, 0.25]),
    )
    assert joints.confident_class(probabilities, thresholds).tolist() == [0, 1]
    assert joints.confident_class(probabilities, thresholds, collisions="confident").tolist() == [
        2,
        1,
    ]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_counts_of_the_paper_are_those_of_its_equations_in_plain_loops(seed):
    label, probabilities = noisy(seed, 5, steps=20)
    thresholds = [probabilities[label == j, j].mean() for j in range(5)]
    expected = np.zeros((5, 5), dtype=int)
    for given_label, row in zip(label, probabilities, strict=True):
        confident = [j for j in range(5) if row[j] >= thresholds[j] - 1e-6]
        if confident:
            expected[given_label, max(confident, key=lambda j: row[j])] += 1
    np.fill_diagonal(expected, np.maximum(expected.diagonal(), 1))
    found = joints.confident_joint(label, probabilities, calibrated=False, collisions="confident")
    np.testing.assert_array_equal(found, expected)


def test_the_planted_share_of_wrong_labels_is_recovered():
    label, probabilities = noisy(0, 4, rows=20_000, noise=0.2, sharpness=8)
    assert joints.wrong_share(joints.confident_joint(label, probabilities)) == pytest.approx(
        0.2 * 3 / 4, abs=0.02
    )


def test_the_size_of_a_block_does_not_matter(monkeypatch):
    label, probabilities = noisy(0, 3)
    whole = joints.confident_joint(label, probabilities)
    for values in (1, 7, 300):
        monkeypatch.setattr(joints, "BLOCK_VALUES", values)
        assert sum(len(block) for _, block in joints.blocks(probabilities)) == len(label)
        np.testing.assert_array_equal(joints.confident_joint(label, probabilities), whole)


def test_half_precision_is_summed_in_double():
    probabilities = np.tile(np.array([[0.3, 0.7], [0.7, 0.3]], dtype=np.float16), (40_000, 1))
    label = np.tile([1, 0], 40_000)
    expected = np.float64(np.float16(0.7))  # summed in float16, 40,000 of them stick at 2048
    np.testing.assert_allclose(
        joints.class_thresholds(label, probabilities), [expected, expected], rtol=1e-12
    )


@given(st.integers(0, 2**32 - 1), st.sampled_from([2, 3, 7]), st.sampled_from([None, 4, 50]))
def test_rows_add_up_to_the_label_counts_and_the_joint_to_one_in_any_order_of_the_rows(
    seed, classes, steps
):
    label, probabilities = noisy(seed, classes, rows=60, steps=steps)
    counts = joints.confident_joint(label, probabilities)
    assert (counts >= 0).all()
    np.testing.assert_array_equal(counts.sum(axis=1), np.bincount(label))
    assert joints.joint(counts).sum() == pytest.approx(1)
    assert 0 <= joints.wrong_share(counts) <= 1
    order = np.random.default_rng(seed).permutation(len(label))
    np.testing.assert_array_equal(
        joints.confident_joint(label[order], probabilities[order]), counts
    )


@given(st.integers(0, 2**32 - 1))
def test_rounding_keeps_the_sums_of_rows_and_moves_no_number_by_more_than_one(seed):
    matrix = np.random.default_rng(seed).integers(0, 12, (4, 6)) / 4
    whole = joints.rounded(matrix)
    np.testing.assert_array_equal(whole.sum(axis=1), np.rint(matrix.sum(axis=1)))
    assert (whole >= 0).all()
    assert (abs(whole - matrix) <= 1).all()


def test_of_equal_gains_the_last_are_rounded_up_and_the_first_down():
    assert joints.rounded(np.array([[1 / 3, 4 / 3, 1 / 3], [2 / 3, 5 / 3, 2 / 3]])).tolist() == [
        [0, 1, 1],
        [0, 2, 1],
    ]


# refusals


def test_an_unknown_word_for_collisions_is_refused():
    with pytest.raises(
        OptionError,
        match=r"unknown collisions 'rows'. Did you mean 'row'\? There are: row, confident",
    ):
        joints.confident_class(np.eye(2), np.array([0.5, 0.5]), collisions="rows")
