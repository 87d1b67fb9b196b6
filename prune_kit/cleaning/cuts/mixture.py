"""mixture: two normal distributions of the score, the harder of which is taken for the wrong labels."""

import numpy as np

from prune_kit.cleaning.cuts import Evidence, NoiseEstimate
from prune_kit.errors import OptionError

NEEDS = ""
ROUNDS = 200


def find(evidence: Evidence) -> NoiseEstimate:
    """Flag what belongs to the harder of two normal components rather than to the other.

    Its weight is the noise rate. Clean data have two components as well, so this finds wrong labels
    where there are none (32 % of MNIST, methods.md); it is the last resort for scores without
    probabilities. There is no interval. Raises OptionError when all scores are the same.
    """
    from sklearn.mixture import GaussianMixture

    hardness = evidence.hardness.astype(np.float64)[:, None]
    if np.ptp(hardness) == 0:
        raise OptionError(
            f"--cut mixture: {evidence.column} is the same for all {len(hardness):,} rows"
        )
    fitted = GaussianMixture(2, random_state=evidence.seed, max_iter=ROUNDS, tol=1e-5).fit(hardness)
    harder = int(fitted.means_[:, 0].argmax())
    flagged = fitted.predict(hardness) == harder
    flagged &= (
        hardness[:, 0] > fitted.means_[1 - harder, 0]
    )  # a wide component takes the far end of the easy side too
    return NoiseEstimate(flagged, noise_rate=float(fitted.weights_[harder]))
