"""argmax: every label that is not the likeliest class, by the probabilities averaged over training."""

from prune_kit.cleaning.cuts import Evidence, NoiseEstimate

NEEDS = "probability"


def find(evidence: Evidence) -> NoiseEstimate:
    """Flag the rows in which another class is likelier than the given label; their share is the noise rate.

    A network that has learnt too little disagrees with right labels too, and nothing here would
    tell: there is no interval. Raises TableError without probabilities.
    """
    return NoiseEstimate(evidence.disagrees, noise_rate=float(evidence.disagrees.mean()))
