"""joint: as many labels of each pair of classes as the confident joint counts; cleanlab's default.

Paper: Northcutt, Jiang, Chuang 2021, https://arxiv.org/abs/1911.00068, sections 3.1 and 3.2.
"""

import numpy as np

from prune_kit.cleaning.confident_joint import confident_joint, wrong_share
from prune_kit.cleaning.cuts import Evidence, NoiseEstimate
from prune_kit.cleaning.given_probabilities import checked
from prune_kit.cleaning.label_issues import find_label_issues

NEEDS = "probability"


def find(evidence: Evidence) -> NoiseEstimate:
    """Prune by noise rate, with the probabilities of training instead of cross-validated ones.

    Training pulls probabilities to the given label, so that the counts are low. There is no
    interval.

    Parameters
    ----------
    evidence : Evidence
        The evidence about n labels, with probabilities.

    Raises
    ------
    TableError
        There are no probabilities.
    DataError
        A class has no label.
    """
    probability = evidence.probabilities.astype(np.float32)
    label, probability = checked(evidence.label, probability)
    flagged = find_label_issues(label, probability)
    return NoiseEstimate(
        np.asarray(flagged), noise_rate=wrong_share(confident_joint(label, probability))
    )
