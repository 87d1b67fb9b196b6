"""What is accepted as labels and probabilities, and what the others are told."""

import numpy as np
import pytest
import torch

from prune_kit.cleaning import confident_joint as joints
from prune_kit.cleaning.given_probabilities import checked, checked_multilabel
from prune_kit.errors import DataError

pd = pytest.importorskip("pandas")  # cleanlab, which the tests take, brings it

GOOD = np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]])
LABELS = np.array([0, 1, 1])


def with_row(*row):
    return np.vstack([GOOD[:2], row])


@pytest.mark.parametrize(
    "labels",
    [
        LABELS.tolist(),
        tuple(LABELS),
        LABELS.astype(np.uint8),
        LABELS.astype(object),
        torch.tensor(LABELS),
        pd.Series(LABELS, index=[7, 3, 5]),
    ],
    ids=lambda labels: type(labels).__name__,
)
@pytest.mark.parametrize(
    "pred_probs",
    [
        GOOD.tolist(),
        tuple(map(tuple, GOOD)),
        torch.tensor(GOOD, requires_grad=True),
        GOOD.astype(np.longdouble),
        pd.DataFrame(GOOD),
    ],
    ids=lambda pred_probs: type(pred_probs).__name__,
)
def test_lists_tensors_frames_and_long_doubles_are_what_the_arrays_are(labels, pred_probs):
    label, probabilities = checked(labels, pred_probs)
    assert label.dtype == np.int64 and probabilities.dtype == np.float64
    np.testing.assert_array_equal(label, LABELS)
    np.testing.assert_array_equal(probabilities, GOOD)


def test_a_list_of_ones_and_noughts_and_a_half_precision_tensor_are_probabilities():
    assert checked(LABELS, [[1, 0], [0, 1], [0, 1]])[1].dtype == np.float64
    half = torch.tensor(GOOD, dtype=torch.bfloat16)
    np.testing.assert_array_equal(checked(LABELS, half)[1], half.float().numpy())


@pytest.mark.parametrize("miss", [1e-9, 1e-6])
def test_what_a_softmax_leaves_below_nought_and_above_one_passes(miss):
    checked(LABELS, with_row(-miss, 1 + miss))
    checked_multilabel([[0], [], [1]], with_row(-miss, 1 + miss))


def test_arrays_are_not_copied_and_rounded_probabilities_and_half_precision_pass():
    thirds = np.array([[0.333, 0.333, 0.333]] * 3)
    assert checked([0, 1, 2], thirds)[1] is thirds
    checked(np.array([0, 1, 2], dtype=np.uint8), (np.ones((3, 3)) / 3).astype(np.float16))


def test_an_absent_class_is_refused_only_where_every_class_is_required():
    with pytest.raises(DataError, match=r"no label is 1 \(1 of 2 classes have none\)"):
        checked([0, 0, 0], GOOD)
    assert checked([0, 0, 0], GOOD, absent_classes=True)[0].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("labels", "pred_probs", "message"),
    [
        ([0, 1], GOOD, "labels has 2 entries, pred_probs 3 rows; expected as many of both"),
        (
            [0, 1, 2],
            GOOD,
            r"labels\[2\] is 2, and pred_probs has 2 columns; expected class numbers from 0 to 1",
        ),
        ([0, -1, 1], GOOD, r"labels\[1\] is -1"),
        ([0.0, 1.0, 1.0], GOOD, r"labels is a list of shape \(3,\); expected whole numbers"),
        (np.array([0.5, 1, 1]), GOOD, r"labels is float64 of shape \(3,\); expected whole numbers"),
        ([[0], [1], [1]], GOOD, r"labels is a list of shape \(3, 1\)"),
        ([[0], [1, 1], []], GOOD, "labels is a list; expected whole numbers"),
        (["cat", "dog", "dog"], GOOD, "expected whole numbers"),
        ([0, 2**70, 1], GOOD, "expected whole numbers"),
        ([], np.empty((0, 2)), "have no rows"),
        (LABELS, GOOD[:, 0], r"pred_probs is float64 of shape \(3,\); expected an array"),
        (LABELS, [[0.9, 0.1], [1.0], [0.5, 0.5]], "pred_probs is a list; expected an array"),
        (LABELS, None, "pred_probs is a NoneType; expected an array"),
        (LABELS, (GOOD > 0.5).astype(int), r"pred_probs is int64 of shape \(3, 2\)"),
        (LABELS, torch.tensor(GOOD)[0], r"pred_probs is torch.float64 of shape \(2,\)"),
        (LABELS, with_row(np.nan, 0.5), "row 2 of pred_probs holds NaN"),
        (
            LABELS,
            with_row(-0.1, 1.1),
            "row 2 of pred_probs holds -0.1; expected probabilities from 0 to 1",
        ),
        (LABELS, with_row(-2e-6, 1), "row 2 of pred_probs holds -2e-06"),
        (
            LABELS,
            with_row(0.5, 0.6),
            r"row 2 of pred_probs adds up to 1.1; expected 1, within 0.01",
        ),
        (LABELS, with_row(np.inf, 0.5), "row 2 of pred_probs adds up to inf"),
    ],
)
@pytest.mark.parametrize("values", [2, 1000])
def test_what_is_no_label_or_no_probability_is_refused_by_its_first_row(
    monkeypatch, values, labels, pred_probs, message
):
    monkeypatch.setattr(joints, "BLOCK_VALUES", values)
    with pytest.raises(DataError, match=message) as caught:
        checked(labels, pred_probs)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "labels",
    [
        [[0, 1], [], [1]],
        ((1, 0), (), (1,)),
        [np.array([0, 1]), np.array([]), [1, 1]],
        np.array([[0, 1], [], [1]], dtype=object),
        [{1, 0}, set(), {1}],
    ],
)
def test_the_rows_of_each_class_are_read_from_any_sequence_of_sequences(labels):
    members, probabilities = checked_multilabel(labels, torch.tensor([[0.9, 0.9]] * 3))
    assert [rows.tolist() for rows in members] == [[0], [0, 2]]
    assert probabilities.shape == (3, 2)


def test_rows_without_any_class_are_no_error():
    assert [len(rows) for rows in checked_multilabel([[], [], []], GOOD)[0]] == [0, 0]


@pytest.mark.parametrize(
    ("labels", "pred_probs", "message"),
    [
        (np.eye(3, dtype=int), GOOD, r"take \[np.flatnonzero\(row\) for row in labels\]"),
        ([0, 1, 1], GOOD, "labels does not hold a list for each row"),
        ([[0], [0.5], [1]], GOOD, "labels does not hold whole numbers alone"),
        (["a", "b", "c"], GOOD, "labels does not hold whole numbers alone"),
        ([[0], [1]], GOOD, "labels has 2 entries, pred_probs 3 rows"),
        ([[0], [1, 2], []], GOOD, r"labels\[1\] holds 2, and pred_probs has 2 columns"),
        ([[0], [-1], []], GOOD, r"labels\[1\] holds -1"),
        ([[0], [1], []], with_row(1.2, 0.5), "row 2 of pred_probs holds 1.2; .* the sigmoid"),
        ([[0], [1], []], with_row(0.5, np.nan), "row 2 of pred_probs holds NaN"),
        ([[0], [1], []], with_row(0.5, np.inf), "row 2 of pred_probs holds inf"),
    ],
)
def test_what_is_no_list_of_classes_is_refused_by_its_first_row(labels, pred_probs, message):
    with pytest.raises(DataError, match=message) as caught:
        checked_multilabel(labels, pred_probs)
    assert "\n" not in str(caught.value)
