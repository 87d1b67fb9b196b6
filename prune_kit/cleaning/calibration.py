"""What planted labels say about the others: the share of wrong labels, and the best threshold.

The method is described in `prune_kit.cleaning.cuts.probes`. The planted labels are called probes.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from prune_kit.cleaning.cuts import Evidence, scaled
from prune_kit.cleaning.mixture_proportion import ProbeRanking


@dataclass(frozen=True)
class Calibration:
    """The constants by which planted labels are read. benchmarks/RESULTS.md has the measurements.

    Attributes
    ----------
    depths, shallow_depths : tuple of float
        The fits end at these depths: beyond the first lie mostly right labels. The shallow ones are
        for the low end and for weak networks, because hard examples matter least there.
    least_power, slack : float
        The estimate takes right labels to be crowded at least as v^4. A power whose log-likelihood
        is within `slack` of the best explains the labels as well. The low end allows any power.
    draws : int
        Bootstrap samples. Rounds before the last use a fifth of them.
    rounds : int
        Rounds in which the threshold and the weights of the probes settle.
    interval : tuple of float
        The quantiles of the rates at the ends of the interval.
    covered : float
        This share of the rows in front must have a probe of their pair of classes. Otherwise the
        probes are not matched by pairs.
    weak_below : float
        An expected F1 below this marks a weak network: it does not separate right from wrong.
    negligible : float
        A low end below this share of the high end counts as 0.
    hard_examples : float
        A rate below this, with a low end of 0, may come from hard examples alone: a weak network
        takes about a twentieth of clean CIFAR-10 for wrong.
    prior_probes : int
        Added to the probes of every pair, with the recall of all pairs.
    levels : int
        The number of thresholds that are tried for a weak network.
    between : float
        Where the list ends, from what the confident joint lists (0) to what it counts (1).
    """

    depths: tuple[float, ...] = (0.90, 0.95)
    shallow_depths: tuple[float, ...] = (0.5, 0.7, 0.9)
    least_power: float = 4.0
    slack: float = 2.0
    draws: int = 200
    rounds: int = 3
    interval: tuple[float, float] = (0.05, 0.95)
    covered: float = 0.8
    weak_below: float = 0.9
    negligible: float = 0.1
    hard_examples: float = 0.1
    prior_probes: int = 2
    levels: int = 100
    between: float = 0.4


@dataclass(frozen=True)
class Threshold:
    """Labels with a suspicion of at least `level` are listed.

    `listed` is their share of the labels, in [0, 1]. `recall` is the share of the wrong labels that
    is expected on the list, in [0, 1].
    """

    level: float
    listed: float
    recall: float


@dataclass(frozen=True, eq=False)
class Measures:
    """The n labels in question and the b probes by every measure that is compared.

    A pair is (likeliest other class, label) as one number.
    """

    suspicion: Float[np.ndarray, "n"]
    probe_suspicion: Float[np.ndarray, "b"]
    pairs: Int[np.ndarray, "n"]
    probe_pairs: Int[np.ndarray, "b"]
    by_suspicion: ProbeRanking
    by_difference: ProbeRanking


@dataclass(frozen=True, eq=False)
class Settled:
    """The result of the rounds. `right` is the weighted share of the probes with a right label."""

    weight: Float[np.ndarray, "b"]
    right: float
    rate: float
    threshold: Threshold


@dataclass(frozen=True)
class Rate:
    """The noise rate, with the ends of its 90 % interval."""

    value: float
    low: float
    high: float


def measure(evidence: Evidence, probes: Evidence) -> Measures:
    """Measure the labels and the probes.

    Parameters
    ----------
    evidence : Evidence
        The evidence about n labels.
    probes : Evidence
        The same of b planted labels, by the same column.

    Returns
    -------
    Measures
        Without probabilities, the suspicion is the scaled hardness and a pair is the label alone.
    """
    if evidence.probability is None:
        both = scaled(np.concatenate([evidence.hardness, probes.hardness]))
        suspicion = both[: len(evidence.hardness)]
        probe_suspicion = both[len(evidence.hardness) :]
        by_suspicion = by_difference = ProbeRanking.of(suspicion, probe_suspicion)
        pairs, probe_pairs = evidence.label, probes.label
    else:
        suspicion, probe_suspicion = evidence.suspicion, probes.suspicion
        by_suspicion = ProbeRanking.of(suspicion, probe_suspicion)
        by_difference = ProbeRanking.of(
            evidence.runner_up - evidence.self_confidence,
            probes.runner_up - probes.self_confidence,
        )
        pairs, probe_pairs = (
            known.suggested * known.classes + known.label for known in (evidence, probes)
        )
    return Measures(suspicion, probe_suspicion, pairs, probe_pairs, by_suspicion, by_difference)


def settle(
    evidence: Evidence,
    probes: Evidence,
    measures: Measures,
    calibration: Calibration,
    rng: np.random.Generator,
) -> Settled:
    """Repeat: weigh the probes by the rows in front, estimate the rate, move the threshold.

    Parameters
    ----------
    evidence, probes, measures
        The labels in question and the planted ones.
    calibration : Calibration
        `rounds` says how often the threshold moves.
    rng : numpy.random.Generator
        Draws the bootstrap samples.

    Returns
    -------
    Settled
        The weights, the rate and the threshold of the last round.
    """
    front = _rows_in_front_at_first(evidence, measures)
    for number in range(calibration.rounds + 1):
        last = number == calibration.rounds
        weight = _weights(
            measures.pairs[front], measures.probe_pairs, evidence.classes, calibration.covered
        )
        rates = measures.by_difference.rates(
            weight,
            rng,
            calibration.draws if last else calibration.draws // 5,
            calibration.depths,
            least_power=calibration.least_power,
            slack=calibration.slack,
        )
        right = _share_set_right(evidence, probes, front, weight)
        rate = float(np.median(rates)) * (1 - right)
        threshold = _best_threshold(measures.by_suspicion, weight, rate, right)
        front = measures.suspicion >= threshold.level
    return Settled(weight, right, rate, threshold)


def _rows_in_front_at_first(evidence: Evidence, measures: Measures) -> Bool[np.ndarray, "n"]:
    if evidence.probability is None:
        return np.zeros(len(measures.suspicion), dtype=bool)
    if evidence.disagrees.any():
        return evidence.disagrees
    front: np.ndarray = measures.suspicion >= np.quantile(measures.probe_suspicion, 0.5)
    return front


def estimate_rate(
    measures: Measures,
    settled: Settled,
    calibration: Calibration,
    rng: np.random.Generator,
    *,
    weak: bool,
) -> Rate:
    """Estimate the rate with its interval.

    The interval spans both measures. Its low end allows any growth of the right labels. The hard
    examples of a weak network reach deep, so that the rate in front of them is nearer to the truth.

    Parameters
    ----------
    measures, settled
        The labels, and the weights of the probes.
    calibration : Calibration
        The depths, the number of samples and the quantiles.
    rng : numpy.random.Generator
        Draws the bootstrap samples, after those of `settle`.
    weak : bool
        Whether the network separates right labels from wrong ones badly.

    Returns
    -------
    Rate
        Shares of the labels, with low <= value <= high.
    """
    weight, draws = settled.weight, calibration.draws
    firm = {"least_power": calibration.least_power, "slack": calibration.slack}
    both = (measures.by_difference, measures.by_suspicion)
    low = min(
        np.quantile(
            ranking.rates(
                weight, rng, draws, calibration.shallow_depths, least_power=1.0, slack=0.0
            ),
            calibration.interval[0],
        )
        for ranking in (both if weak else both[:1])
    )
    high = max(
        np.quantile(
            ranking.rates(weight, rng, draws, calibration.depths, **firm), calibration.interval[1]
        )
        for ranking in both
    )
    low, high = float(low) * (1 - settled.right), float(high) * (1 - settled.right)
    low = 0.0 if low < calibration.negligible * high else low
    value = settled.rate
    if weak and low > 0:
        shallow = measures.by_suspicion.rates(
            weight, rng, draws, calibration.shallow_depths, **firm
        )
        value = float(np.median(shallow)) * (1 - settled.right)
    return Rate(value, min(low, value), max(high, value))


def _weights(
    front: Int[np.ndarray, "m"], probes: Int[np.ndarray, "b"], classes: int, covered: float
) -> Float[np.ndarray, "b"]:
    """Weigh the probes so that their pairs are as frequent as those of the rows in front.

    Where too few of these rows have a probe of their pair, the given label alone is matched. Where
    too few have a probe of their label, all probes weigh the same.
    """
    for wanted, planted in ((front, probes), (front % classes, probes % classes)):
        wanted_counts = np.bincount(wanted, minlength=classes**2)
        planted_counts = np.bincount(planted, minlength=classes**2)
        if len(front) and wanted_counts[planted_counts > 0].sum() >= covered * len(front):
            weight = (wanted_counts / np.maximum(planted_counts, 1))[planted]
            normalised: np.ndarray = weight / weight.sum()
            return normalised
    return np.full(len(probes), 1 / len(probes))


def _share_set_right(
    evidence: Evidence,
    probes: Evidence,
    front: Bool[np.ndarray, "n"],
    weight: Float[np.ndarray, "b"],
) -> float:
    """The weighted share of the planted labels that are right, because the label before was wrong.

    A row with label y in front of the threshold is taken for its likeliest other class k. So a
    planted k in the place of a y is right with the probability that a given y is taken for k.
    """
    if evidence.probability is None or probes.given is None:
        return float(front.mean()) / max(evidence.classes - 1, 1)
    pairs = evidence.suggested * evidence.classes + evidence.label
    taken = np.bincount(pairs[front], minlength=evidence.classes**2)
    label_counts = np.bincount(evidence.label, minlength=evidence.classes)
    set_right = taken[probes.label * evidence.classes + probes.given] / np.maximum(
        label_counts[probes.given], 1
    )
    return float((weight * set_right).sum())


def _best_threshold(
    ranking: ProbeRanking, weight: Float[np.ndarray, "b"], rate: float, right: float
) -> Threshold:
    """The threshold with the largest expected F1, at the level of a probe.

    The planted labels that are right, a share `right`, lie behind every threshold.
    """
    recall = np.minimum(np.cumsum(weight[ranking.order]) / (1 - right), 1.0)
    listed = np.cumsum(ranking.between) / ranking.count
    expected = 2 * np.minimum(rate * recall, listed) / np.maximum(rate + listed, 1e-12)
    best = int(expected.argmax())
    return Threshold(float(ranking.level[best]), float(listed[best]), float(recall[best]))


def expected_f1(rate: float, listed: float, recall: float) -> float:
    """The F1 of a list, 2 min(r R, l) / (r + l).

    Parameters
    ----------
    rate : float
        The share r of wrong labels, in [0, 1].
    listed : float
        The share l of the labels that is listed, in [0, 1].
    recall : float
        The expected recall R, in [0, 1].
    """
    return 2 * min(rate * recall, listed) / (rate + listed) if rate + listed > 0 else 0.0
