"""mixture: two normal distributions of the score; the harder one is taken for the wrong labels."""

import numpy as np

from prune_kit.cleaning.cuts import Evidence, NoiseEstimate
from prune_kit.errors import OptionError

NEEDS = ""
ROUNDS = 200


def find(evidence: Evidence) -> NoiseEstimate:
    """Flag the rows that belong to the harder of two normal components.

    The weight of this component is the noise rate. Clean data have two components, too, so this
    cut finds wrong labels where there are none (32 % of MNIST, methods.md). It is the last resort
    for scores without probabilities. There is no interval.

    Parameters
    ----------
    evidence : Evidence
        The evidence about n labels. Only the hardness is used.

    Raises
    ------
    OptionError
        All scores are the same.
    """
    from sklearn.mixture import GaussianMixture

    hardness = evidence.hardness.astype(np.float64)[:, None]
    if np.ptp(hardness) == 0:
        raise OptionError(
            f"cut='mixture': {evidence.column} is the same for all {len(hardness):,} rows"
        )
    fitted = GaussianMixture(2, random_state=evidence.seed, max_iter=ROUNDS, tol=1e-5).fit(hardness)
    harder = int(fitted.means_[:, 0].argmax())
    flagged = fitted.predict(hardness) == harder
    # a wide component reaches past the easy one: its easy end is not flagged
    flagged &= hardness[:, 0] > fitted.means_[1 - harder, 0]
    return NoiseEstimate(flagged, noise_rate=float(fitted.weights_[harder]))
