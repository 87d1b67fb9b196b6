import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from prune_kit.training import signals


@settings(max_examples=50)
@given(
    logits=arrays(
        np.float32,
        st.tuples(st.integers(1, 20), st.integers(2, 6)),
        elements=st.floats(-30, 30, width=32),
    ),
    seed=st.integers(0, 1000),
)
def test_statistics_equal_their_definitions_in_float64(logits: np.ndarray, seed: int) -> None:
    count, classes = logits.shape
    labels = np.random.default_rng(seed).integers(0, classes, count)
    found = signals.statistics(torch.from_numpy(logits), torch.from_numpy(labels))
    assert tuple(found) == signals.NAMES
    for row in range(count):
        z, y = logits[row].astype(np.float64), labels[row]
        p = np.exp(z - z.max()) / np.exp(z - z.max()).sum()
        others = np.delete(z, y)
        assert found["correct"][row] == (z.argmax() == y)
        assert found["predicted"][row] == z.argmax()
        close = {"rtol": 1e-5, "atol": 1e-6}
        np.testing.assert_allclose(found["p_label"][row], p[y], **close)
        np.testing.assert_allclose(found["p_max"][row], p.max(), **close)
        np.testing.assert_allclose(
            found["negative_entropy"][row], (p * np.log(p)).sum(), rtol=1e-4, atol=1e-5
        )
        np.testing.assert_allclose(found["margin"][row], z[y] - others.max(), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(
            found["l2_error"][row], np.linalg.norm(p - np.eye(classes)[y]), **close
        )


def test_el2n_lies_between_zero_and_the_root_of_two() -> None:
    logits = torch.tensor([[1e4, -1e4], [-1e4, 1e4]])
    found = signals.statistics(logits, torch.tensor([0, 0]))
    np.testing.assert_allclose(found["l2_error"], [0, np.sqrt(2)], atol=1e-7)
    assert np.isfinite(found["negative_entropy"]).all()


def test_a_row_that_was_not_observed_is_nan_or_minus_one() -> None:
    logits = torch.tensor([[0.0, 1.0], [torch.nan, torch.nan]])
    found = signals.statistics(logits, torch.tensor([1, 1]))
    assert found["correct"].tolist() == [1, -1]
    assert found["predicted"].tolist() == [1, -1]
    for name in ("p_label", "p_max", "negative_entropy", "margin", "l2_error"):
        assert np.isnan(found[name]).tolist() == [False, True], name


def test_blocks_do_not_change_the_statistics(monkeypatch: object) -> None:
    logits, labels = (
        torch.randn(25, 4, generator=torch.Generator().manual_seed(0)),
        torch.arange(25) % 4,
    )
    whole = signals.statistics(logits, labels)
    monkeypatch.setattr(signals, "BLOCK", 7)  # type: ignore[attr-defined]
    parts = signals.statistics(logits, labels)
    for name in signals.NAMES:
        np.testing.assert_array_equal(whole[name], parts[name])
