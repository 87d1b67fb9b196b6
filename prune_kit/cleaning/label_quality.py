"""How much each label is to be trusted, by given probabilities: `find_label_issues` ranks by it.

The definitions are those of cleanlab (2.9.0).
"""

import numpy as np
from jaxtyping import Float, Int

from prune_kit.cleaning.confident_joint import blocks, self_confidence

RANKINGS = ("self_confidence", "normalized_margin", "confidence_weighted_entropy")
LEAST = 1e-6  # cleanlab's floor of the divisors in confidence_weighted_entropy


def label_quality(
    label: Int[np.ndarray, "N"], probabilities: Float[np.ndarray, "N C"], ranking: str
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

    Returns
    -------
    (N,) float
        In the precision of the probabilities, float64 for the entropy.
    """
    confidence = self_confidence(label, probabilities)
    if ranking == "self_confidence":
        return confidence
    score = np.empty(
        len(label), dtype=probabilities.dtype if ranking == "normalized_margin" else np.float64
    )
    for rows, block in blocks(probabilities):
        if ranking == "normalized_margin":
            others = block.copy()
            others[np.arange(len(block)), label[rows]] = -1
            score[rows] = confidence[rows] - others.max(axis=1)
        else:
            p = block.astype(np.float64)
            entropy = -(p * np.log(np.where(p > 0, p, 1))).sum(axis=1) / np.log(max(p.shape[1], 2))
            x = entropy / np.maximum(confidence[rows].astype(np.float64), LEAST)
            score[rows] = np.log1p(x) / np.maximum(x, LEAST)
    return score
