"""How much each label is to be trusted, by given probabilities: `find_label_issues` ranks by it.

The definitions are those of cleanlab (2.9.0).
"""

import numpy as np
from jaxtyping import Float, Int

from prune_kit.cleaning.confident_joint import blocks, self_confidence

RANKINGS = ("self_confidence", "normalized_margin", "confidence_weighted_entropy")
LEAST = 1e-6  # cleanlab's floor of the divisors in confidence_weighted_entropy


def label_quality(
    label: Int[np.ndarray, "N"],
    probabilities: Float[np.ndarray, "N C"],
    ranking: str,
    *,
    thresholds: Float[np.ndarray, "C"] | None = None,
) -> Float[np.ndarray, "N"]:
    """How much each label is to be trusted. A lower value is more suspect.

        self_confidence              p_y                        in [0, 1]
        normalized_margin            p_y - max_{c != y} p_c     in [-1, 1]
        confidence_weighted_entropy  log(1 + x) / x             in [0, 1]
                                     x = -sum_c p_c log p_c / (log C * p_y)

    Both divisors are at least 1e-6, as in cleanlab. So the last ranking is 0 at x = 0: a prediction
    that contradicts the label almost for certain has an entropy near 0, and is not suspect by it.
    cleanlab's margin is (m + 1) / 2.

    Parameters
    ----------
    label : (N,) int
        The given labels.
    probabilities : (N, C) float
        The predicted probabilities.
    ranking : str
        One of the three.
    thresholds : (C,) float, optional
        The t_j of `class_thresholds`, for classes of unlike size: p_j - t_j + max t, scaled to add
        up to 1, replaces p_j. cleanlab calls it `adjust_pred_probs`.

    Returns
    -------
    (N,) float
        In the precision of the probabilities, float64 for the entropy and with thresholds.
    """
    if ranking == "self_confidence" and thresholds is None:
        return self_confidence(label, probabilities)
    stored = ranking != "confidence_weighted_entropy" and thresholds is None
    score = np.empty(len(label), dtype=probabilities.dtype if stored else np.float64)
    for rows, block in blocks(probabilities):
        if thresholds is not None:
            block = block - thresholds + thresholds.max()
            block /= block.sum(axis=1, keepdims=True)
        score[rows] = _quality(label[rows], block, ranking)
    return score


def _quality(
    label: Int[np.ndarray, "n"], block: Float[np.ndarray, "n C"], ranking: str
) -> Float[np.ndarray, "n"]:
    row = np.arange(len(block))
    confidence: np.ndarray = block[row, label]
    if ranking == "self_confidence":
        return confidence
    if ranking == "normalized_margin":
        others = block.copy()
        others[row, label] = -1
        margin: np.ndarray = confidence - others.max(axis=1)
        return margin
    p = block.astype(np.float64)
    entropy = -(p * np.log(np.where(p > 0, p, 1))).sum(axis=1) / np.log(max(p.shape[1], 2))
    x = entropy / np.maximum(confidence.astype(np.float64), LEAST)
    quality: np.ndarray = np.log1p(x) / np.maximum(x, LEAST)
    return quality
