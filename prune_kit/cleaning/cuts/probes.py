"""probes: wrong labels are found where labels that were planted wrong on purpose are found.

The planted labels (probes) were wrong while scoring. Let F(t) be the share of the probes that are
at least as suspect as t. Let G(t) be the same share of the labels in question. Wrong labels follow
the distribution of the probes. Right labels are less suspect:

    G(t) = r F(t) + (1 - r) H(t)        r the noise rate, H(t) the unknown share of the right labels

In the depth v = F(t), the wrong labels are spread evenly over [0, 1]. The right labels crowd
towards 1. So the density of the labels over v is r plus a part that grows with v. The growing part
is fitted as A v^a. This is a mixture proportion. The share of true null hypotheses in multiple
testing is another one (Storey 2002, https://doi.org/10.1111/1467-9868.00346).

Two corrections are made. First, noise may prefer some confusions (5 is labelled 6, never 7). The
network has half learnt such labels, so they are less suspect than evenly planted labels. Therefore
the probes are weighted: each pair (likeliest other class, given label) counts as often as it
occurs in front of the threshold. Second, a planted label is right where the label before was wrong
and the planted label is the true one. The share of such probes is estimated from the pairs too.
"""

import numpy as np

from prune_kit.cleaning.calibration import (
    Calibration,
    Measures,
    Rate,
    Threshold,
    estimate_rate,
    expected_f1,
    measure,
    settle,
)
from prune_kit.cleaning.cuts import Evidence, NoiseEstimate, joint
from prune_kit.errors import TableError

NEEDS = "probes"
LEAST_PROBES = 20
CALIBRATION = Calibration()


def find(evidence: Evidence) -> NoiseEstimate:
    """Estimate the noise rate, the threshold and the quality of the list from the planted labels.

    The rate is fitted on the difference of the two probabilities. This measure separates best where
    noise prefers some confusions. Rows are listed by `Evidence.suspicion`. There are four regimes:

    - No wrong label is certain: the list is empty.
    - The network is strong: the list has the largest expected F1.
    - The network is weak, and a wrong label is certain: the same, with recall counted by pairs.
    - The network is weak, and none is certain: the confident joint bounds the list.

    Parameters
    ----------
    evidence : Evidence
        The evidence about n labels, with at least 20 probes.

    Returns
    -------
    NoiseEstimate
        With an interval of the rate, the expected precision and the expected recall.

    Raises
    ------
    TableError
        There are fewer than 20 probes.
    """
    calibration = CALIBRATION
    probes = _checked_probes(evidence)
    rng = np.random.default_rng(evidence.seed)
    measures = measure(evidence, probes)
    settled = settle(evidence, probes, measures, calibration, rng)
    threshold = settled.threshold
    weak = expected_f1(settled.rate, threshold.listed, threshold.recall) < calibration.weak_below
    rate = estimate_rate(measures, settled, calibration, rng, weak=weak)
    if rate.value * len(measures.suspicion) < 1 or (
        rate.low == 0 and rate.value < calibration.hard_examples
    ):
        return _no_wrong_label(measures, rate)
    if not weak or evidence.probability is None:
        return _strong_network(measures, rate, threshold)
    if rate.low > 0 or len(np.unique(evidence.label)) < evidence.classes:
        return _weak_network(measures, rate, calibration)
    return _weak_network_bounded_by_the_joint(evidence, measures, rate, calibration)


def _no_wrong_label(measures: Measures, rate: Rate) -> NoiseEstimate:
    """Regime 1: hard examples alone may explain the rate, so that nothing is listed."""
    nothing = np.zeros(len(measures.suspicion), dtype=bool)
    return NoiseEstimate(nothing, rate.value, rate.low, rate.high, recall=0.0)


def _strong_network(measures: Measures, rate: Rate, threshold: Threshold) -> NoiseEstimate:
    """Regime 2: the threshold with the largest expected F1 is taken as it has settled."""
    return _listed_above(measures, rate, threshold)


def _weak_network(measures: Measures, rate: Rate, calibration: Calibration) -> NoiseEstimate:
    """Regime 3: the largest expected F1 at the rate, or at its high end where the low end is 0."""
    assumed = rate.value if rate.low > 0 else rate.high
    levels = np.quantile(measures.suspicion, np.linspace(0.01, 0.99, calibration.levels - 1))
    tried = []
    for level in np.unique(levels).tolist():
        front = measures.suspicion >= level
        recall = _recall_by_pairs(measures, level, calibration.prior_probes)
        tried.append(Threshold(level, float(front.mean()), recall))
    best = max(tried, key=lambda one: (expected_f1(assumed, one.listed, one.recall), one.level))
    return _listed_above(measures, rate, best)


def _weak_network_bounded_by_the_joint(
    evidence: Evidence, measures: Measures, rate: Rate, calibration: Calibration
) -> NoiseEstimate:
    """Regime 4: the list ends between the rows that the joint lists and those that it counts.

    Noise that a weak network has half learnt lies among its hard examples. There the probes say
    little. The confident joint counts more wrong labels than there are, and lists fewer.
    """
    estimate = joint.find(evidence)
    fewest = float(estimate.flagged.mean())
    share = fewest + calibration.between * (estimate.noise_rate - fewest)
    level = float(np.quantile(measures.suspicion, 1 - share))
    listed = float((measures.suspicion >= level).mean())
    recall = _recall_by_pairs(measures, level, calibration.prior_probes)
    bounded = Rate(rate.value, rate.low, max(rate.high, estimate.noise_rate))
    return _listed_above(measures, bounded, Threshold(level, listed, recall))


def _listed_above(measures: Measures, rate: Rate, threshold: Threshold) -> NoiseEstimate:
    """List the labels from the threshold on, with the precision that is expected of them."""
    precision, precision_low = (
        min(share * threshold.recall / threshold.listed, 1.0) for share in (rate.value, rate.low)
    )
    return NoiseEstimate(
        measures.suspicion >= threshold.level,
        noise_rate=rate.value,
        low=rate.low,
        high=rate.high,
        precision=precision,
        precision_low=precision_low,
        recall=threshold.recall,
    )


def _recall_by_pairs(measures: Measures, level: float, prior_probes: int) -> float:
    """The share of the wrong labels that lies in front of `level`, counted pair by pair.

    The pairs in front are those that a weak network finds, so that weights by them promise too
    much. If a share F of a pair's probes lies in front, the n rows of the pair there stand for
    n / F wrong labels.
    """
    front = measures.suspicion >= level
    probes_in_front = measures.probe_suspicion >= level
    size = int(max(measures.pairs.max(), measures.probe_pairs.max())) + 1
    probes_of_pair = np.bincount(measures.probe_pairs, minlength=size) + prior_probes
    found_of_pair = np.bincount(measures.probe_pairs[probes_in_front], minlength=size)
    share = (found_of_pair + prior_probes * probes_in_front.mean()) / probes_of_pair
    rows_of_pair = np.bincount(measures.pairs[front], minlength=size)
    stand_for = (rows_of_pair / np.maximum(share, 1e-9)).sum()
    return float(min(front.sum() / max(stand_for, 1.0), 1.0))


def _checked_probes(evidence: Evidence) -> Evidence:
    probes = evidence.probes
    count = 0 if probes is None else len(probes.label)
    if probes is None or count < LEAST_PROBES:
        raise TableError(
            f"the score table has {count} planted labels, and cut='probes' requires at least "
            f"{LEAST_PROBES}; score with probes=0.05 in another workdir, or choose cut='argmax'"
        )
    return probes
