"""argmax: a label is wrong where another class is likelier, averaged over training."""

from prune_kit.cleaning.cuts import Evidence, NoiseEstimate

NEEDS = "probability"


def find(evidence: Evidence) -> NoiseEstimate:
    """Flag the rows in which another class is likelier. Their share is the noise rate.

    A network that has learnt too little disagrees with right labels, too. This cut cannot notice
    it, so there is no interval.

    Parameters
    ----------
    evidence : Evidence
        The evidence about n labels, with probabilities.

    Raises
    ------
    TableError
        There are no probabilities.
    """
    return NoiseEstimate(evidence.disagrees, noise_rate=float(evidence.disagrees.mean()))
