"""joint: as many for every pair of classes as the confident joint counts off its diagonal; cleanlab's default cut.

Paper: Northcutt, Jiang, Chuang 2021, https://arxiv.org/abs/1911.00068, sections 3.1 and 3.2.
"""

import numpy as np

from prune_kit.cleaning.confident_joint import checked, confident_joint, wrong_share
from prune_kit.cleaning.cuts import Evidence, NoiseEstimate
from prune_kit.cleaning.label_issues import find_label_issues

NEEDS = "probability"


def find(evidence: Evidence) -> NoiseEstimate:
    """Prune by noise rate, by the evidence's probabilities in the place of cross-validated ones.

    Probabilities of training-time pull to the given label, so the counts are low for them. There is
    no interval. Raises TableError without probabilities, DataError for a class without a label.
    """
    probability = evidence.probabilities.astype(np.float32)
    label, probability = checked(evidence.label, probability)
    flagged = find_label_issues(label, probability)
    return NoiseEstimate(
        np.asarray(flagged), noise_rate=wrong_share(confident_joint(label, probability))
    )
