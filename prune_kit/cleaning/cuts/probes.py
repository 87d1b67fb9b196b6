"""probes: where labels that are known to be wrong fall, there the wrong ones among the rest fall too.

Labels were planted wrong while scoring. Let F(t) be the share of them, and G(t) the share of the
labels in question, that is at least as suspect as t. Wrong labels fall as the planted ones do,
right ones are less suspect:

    G(t) = r F(t) + (1 - r) H(t)        r the noise rate, H(t) the unknown share of the right labels

In the depth v = F(t) the wrong labels are spread evenly over [0, 1], and the right ones crowd
towards 1. So the density of the labels in question over v is r, plus what grows with v: it is
fitted as A v^a. This is a mixture proportion, as the share of true null hypotheses is in multiple
testing (Storey 2002, https://doi.org/10.1111/1467-9868.00346).

Two things need care. Where the noise prefers some confusions (5 is labelled 6, never 7), it is less
suspect than evenly planted labels, as the network has half learnt it. So planted labels are
weighted by the pair (likeliest other class, given label) as often as that pair is found in front of
the cut. And a planted label is right after all where the label before was wrong and it hits the
true one; how many of the weighted ones do is estimated from the pairs as well.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from prune_kit.cleaning.cuts import Cut, Evidence, joint, scaled
from prune_kit.errors import TableError

NEEDS = "probes"
LEAST_PROBES = 20
BIN = 0.05  # of depth
POWERS = np.array([1.0, 1.5, 2, 3, 4, 6, 9, 14, 22, 35, 60, 100, 170])
# right labels are no less crowded than v^4, for the estimate; the interval's low end allows any
# power
FIRM = 4.0
INDIFFERENT = 2.0  # of log-likelihood: the steepest power that explains the probes as well is taken
DEPTHS = (0.90, 0.95)  # the fit ends here: beyond are mostly right labels
SHALLOW_DEPTHS = (0.5, 0.7, 0.9)  # for the low end: there hard examples matter least
DRAWS = 200  # of the bootstrap, and DRAWS // 5 in each round before the last
HALVINGS = 40
ROUNDS = 3  # in which the cut and the weights of the probes settle
WEAK = 0.9  # expected F1 below which the network does not part right from wrong well
NEGLIGIBLE = 0.1  # a low end below this share of the high end is none
HARD_EXAMPLES = (
    0.1  # a weak network takes about a twentieth of clean CIFAR-10 for wrong: benchmarks/RESULTS.md
)
PRIOR_PROBES = 2  # of every pair, with the recall of all pairs, beside those that there are
LEVELS = 100  # of suspicion, at which a weak network's cut is tried
# of the way from the rows that the confident joint lists to those that it counts: RESULTS.md
BETWEEN = 0.4
COVERED = 0.8  # the share of the rows before the cut whose pair of classes some probe must have
LOW, HIGH = 0.05, 0.95


@dataclass(frozen=True, eq=False)
class Ranking:
    """Probes by one measure, most suspect first, and how many of the n labels lie between them.

    `order` (b,) sorts the probes, `level` (b,) is their measure in that order, `between` (b,)
    counts the labels that are at least as suspect as a probe and less so than the one before.
    """

    order: Int[np.ndarray, "b"]
    level: Float[np.ndarray, "b"]
    between: Int[np.ndarray, "b"]
    count: int

    @classmethod
    def of(cls, measure: Float[np.ndarray, "n"], probes: Float[np.ndarray, "b"]) -> "Ranking":
        """Sort both by how suspect they are."""
        order = np.argsort(-probes, kind="stable")
        reached = np.searchsorted(np.sort(-measure), -probes[order], side="right")
        return cls(order, probes[order], np.diff(reached, prepend=0), len(measure))

    def rates(
        self,
        weight: Float[np.ndarray, "b"],
        chance: np.random.Generator,
        draws: int,
        depths: tuple[float, ...],
        least: float = FIRM,
        slack: float = INDIFFERENT,
    ) -> Float[np.ndarray, "d"]:
        """The even part of the density of labels over the depth of the weighted probes, in bootstrap samples of both.

        Each sample looks down to one of the `depths`.
        """
        count, found = len(weight), np.zeros(draws)
        which = chance.integers(0, len(depths), draws)
        for place, depth in enumerate(depths):
            edges = np.linspace(0, depth, round(depth / BIN) + 1)
            samples = int((which == place).sum())
            counts, effective = np.zeros((samples, len(edges) - 1)), np.ones(samples)
            for sample in range(samples):
                drawn = (weight * chance.multinomial(count, np.full(count, 1 / count)))[self.order]
                share = np.cumsum(drawn)
                if share[-1] > 0:  # else no probe that counts was drawn
                    middle = (share - drawn / 2) / share[-1]
                    counts[sample] = np.histogram(
                        middle, edges, weights=chance.poisson(self.between)
                    )[0]
                    effective[sample] = share[-1] ** 2 / (drawn**2).sum()
            found[which == place] = even_part(counts, edges, effective, least, slack) / self.count
        return found


def even_part(
    found: Float[np.ndarray, "d k"],
    edges: Float[np.ndarray, "k+1"],
    effective: Float[np.ndarray, "d"],
    least: float,
    slack: float,
) -> Float[np.ndarray, "d"]:
    """How many labels per unit of depth are spread evenly, where the rest grows as a power of the depth.

    `found` are, for each of d samples, the labels in the bins between `edges`, from 0 on. For every
    power from `least` on, the likeliest share of the even part; of the powers, the largest whose
    likelihood is within `slack` of the best. The likelihood is tempered, since the depth itself is
    known from `effective` probes only.
    """
    depth, total = edges[-1], found.sum(axis=1)
    powers = POWERS[POWERS >= least]
    even = np.diff(edges) / depth
    grown = np.diff((edges / depth)[None, :] ** (powers[:, None] + 1), axis=1)
    low, high = np.zeros((len(found), len(powers), 1)), np.ones((len(found), len(powers), 1))
    for _ in range(
        HALVINGS
    ):  # the likelihood is concave in the share: halve the interval that holds its maximum
        share = (low + high) / 2
        slope = (found[:, None, :] * (even - grown) / (share * even + (1 - share) * grown)).sum(
            axis=2, keepdims=True
        )
        low, high = np.where(slope > 0, share, low), np.where(slope > 0, high, share)
    tempered = found / (1 + total / (effective * depth))[:, None]
    likelihood = (tempered[:, None, :] * np.log(share * even + (1 - share) * grown)).sum(axis=2)
    good = likelihood >= likelihood.max(axis=1, keepdims=True) - slack
    chosen = len(powers) - 1 - good[:, ::-1].argmax(axis=1)
    rates: np.ndarray = share[np.arange(len(found)), chosen, 0] * total / depth
    return rates


def find(evidence: Evidence) -> Cut:
    """Calibrate the noise rate, the cut and what it will find by the planted labels.

    The cut is where the expected F1 is largest. Rows are flagged by `Evidence.suspicion`; the rate
    is fitted on the difference of the two probabilities, which parts best where noise prefers some
    confusions. A network that parts right from wrong badly (expected F1 below WEAK) is read
    otherwise: see below. Nothing is flagged where the rate is not held from below and is under
    HARD_EXAMPLES. Raises TableError without probes, or with fewer than 20.
    """
    probes = evidence.probes
    count = 0 if probes is None else len(probes.label)
    if probes is None or count < LEAST_PROBES:
        raise TableError(
            f"the score table has {count} planted labels to calibrate by, and it takes "
            f"{LEAST_PROBES}; score with --probes 0.05 (in another --workdir, or with --fresh), or "
            "choose --cut argmax"
        )
    chance = np.random.default_rng(evidence.seed)
    by_difference = Ranking.of(*_difference(evidence, probes))
    suspicion, of_probes = _suspicion(evidence, probes)
    by_suspicion = Ranking.of(suspicion, of_probes)
    pairs, pairs_of_probes = _pairs(evidence), _pairs(probes)
    front = (
        evidence.disagrees
        if evidence.probability is not None
        else np.zeros(len(suspicion), dtype=bool)
    )
    if evidence.probability is not None and not front.any():
        front = suspicion >= np.quantile(of_probes, 0.5)
    for number in range(ROUNDS + 1):
        weight = _weights(pairs[front], pairs_of_probes, evidence.classes)
        draws = DRAWS if number == ROUNDS else DRAWS // 5
        slope = float(np.median(by_difference.rates(weight, chance, draws, DEPTHS)))
        right = _right_after_all(evidence, probes, front, weight)
        rate = slope * (1 - right)
        level, listed, recall = _best_cut(by_suspicion, weight, rate, right)
        front = suspicion >= level
    expected = 2 * min(rate * recall, listed) / (rate + listed) if rate + listed > 0 else 0.0
    weak = expected < WEAK
    low, high = (
        end * (1 - right)
        for end in _interval(by_difference, by_suspicion, weight, chance, weak=weak)
    )
    low = 0.0 if low < NEGLIGIBLE * high else low
    if weak and low > 0:  # hard examples reach deep; what shows before them is nearer to the truth
        rate = float(np.median(by_suspicion.rates(weight, chance, DRAWS, SHALLOW_DEPTHS))) * (
            1 - right
        )
    low, high = min(low, rate), max(high, rate)
    if rate * len(suspicion) < 1 or (low == 0 and rate < HARD_EXAMPLES):
        return Cut(np.zeros(len(suspicion), dtype=bool), rate, low, high, recall=0.0)
    if weak and evidence.probability is not None:
        measured = suspicion, of_probes, pairs, pairs_of_probes
        if low > 0 or len(np.unique(evidence.label)) < evidence.classes:
            level, listed, recall = _cut_of_a_weak_network(*measured, rate if low > 0 else high)
        else:
            (level, listed, recall), counted = _cut_by_the_joint(evidence, *measured)
            high = max(high, counted)
    flagged = suspicion >= level
    precision, precision_low = (min(share * recall / listed, 1.0) for share in (rate, low))
    return Cut(flagged, rate, low, high, precision, precision_low, recall)


def _difference(evidence: Evidence, probes: Evidence) -> tuple[np.ndarray, np.ndarray]:
    if evidence.probability is None:
        return _suspicion(evidence, probes)
    return evidence.rival - evidence.own, probes.rival - probes.own


def _suspicion(evidence: Evidence, probes: Evidence) -> tuple[np.ndarray, np.ndarray]:
    """The suspicion of labels and of probes, on one scale."""
    if evidence.probability is not None:
        return evidence.suspicion, probes.suspicion
    both = scaled(np.concatenate([evidence.hardness, probes.hardness]))
    return both[: len(evidence.hardness)], both[len(evidence.hardness) :]


def _pairs(evidence: Evidence) -> Int[np.ndarray, "n"]:
    """The pair (likeliest other class, label) of each row as one number; the label alone without probabilities."""
    if evidence.probability is None:
        return evidence.label
    pairs: np.ndarray = evidence.suggested * evidence.classes + evidence.label
    return pairs


def _weights(
    front: Int[np.ndarray, "m"], probes: Int[np.ndarray, "b"], classes: int
) -> Float[np.ndarray, "b"]:
    """Weights of the probes, by which their pairs are as frequent as those of the rows in front of the cut.

    Where too few of those rows have a probe of their pair, pairs are matched by the given label, or
    not at all.
    """
    for found, of_probes in ((front, probes), (front % classes, probes % classes)):
        wanted = np.bincount(found, minlength=classes**2)
        there = np.bincount(of_probes, minlength=classes**2)
        if len(front) and wanted[there > 0].sum() >= COVERED * len(front):
            weight = (wanted / np.maximum(there, 1))[of_probes]
            normalised: np.ndarray = weight / weight.sum()
            return normalised
    return np.full(len(probes), 1 / len(probes))


def _interval(
    by_difference: Ranking,
    by_suspicion: Ranking,
    weight: np.ndarray,
    chance: np.random.Generator,
    *,
    weak: bool,
) -> tuple[float, float]:
    """The ends of the 90 % interval, over both measures and, at the low end, over any growth of the right labels."""
    lows = [by_difference, by_suspicion] if weak else [by_difference]
    low = min(
        np.quantile(ranking.rates(weight, chance, DRAWS, SHALLOW_DEPTHS, least=1.0, slack=0.0), LOW)
        for ranking in lows
    )
    high = max(
        np.quantile(ranking.rates(weight, chance, DRAWS, DEPTHS), HIGH)
        for ranking in (by_difference, by_suspicion)
    )
    return float(low), float(high)


def _right_after_all(
    evidence: Evidence,
    probes: Evidence,
    front: Bool[np.ndarray, "n"],
    weight: Float[np.ndarray, "b"],
) -> float:
    """The weighted share of the planted labels that are right, since the label before was wrong.

    A label y that stands before the cut is taken for the likeliest other class k; so a planted k
    that replaced a y is right with the chance with which a given y is taken for k.
    """
    if evidence.probability is None or probes.given is None:
        return float(front.mean()) / max(evidence.classes - 1, 1)
    taken = np.bincount(_pairs(evidence)[front], minlength=evidence.classes**2)
    there = np.bincount(evidence.label, minlength=evidence.classes)
    chance = taken[probes.label * evidence.classes + probes.given] / np.maximum(
        there[probes.given], 1
    )
    return float((weight * chance).sum())


def _best_cut(
    ranking: Ranking, weight: np.ndarray, rate: float, right: float
) -> tuple[float, float, float]:
    """The level with the largest expected F1, the share of the labels that it lists, and the recall expected of it.

    `right` is the share of the planted labels that are right: those are behind every cut.
    """
    recall = np.minimum(np.cumsum(weight[ranking.order]) / (1 - right), 1.0)
    listed = np.cumsum(ranking.between) / ranking.count
    expected = 2 * np.minimum(rate * recall, listed) / np.maximum(rate + listed, 1e-12)
    best = int(expected.argmax())
    return float(ranking.level[best]), float(listed[best]), float(recall[best])


def _recall_by_pairs(
    front: Bool[np.ndarray, "n"],
    found: Bool[np.ndarray, "b"],
    pairs: Int[np.ndarray, "n"],
    pairs_of_probes: Int[np.ndarray, "b"],
) -> float:
    """The share of the wrong labels that lies in `front`, where the probes `found` do, pair of classes by pair.

    Where a network is weak, the pairs in front are those that it finds, and weights by them promise
    too much. If a pair's probes are found with a share F, then the n rows of it that lie in front
    stand for n / F.
    """
    size = int(max(pairs.max(), pairs_of_probes.max())) + 1
    there = np.bincount(pairs_of_probes, minlength=size) + PRIOR_PROBES
    share = (
        np.bincount(pairs_of_probes[found], minlength=size) + PRIOR_PROBES * found.mean()
    ) / there
    stand_for = (np.bincount(pairs[front], minlength=size) / np.maximum(share, 1e-9)).sum()
    return float(min(front.sum() / max(stand_for, 1.0), 1.0))


def _cut_of_a_weak_network(
    suspicion: Float[np.ndarray, "n"],
    of_probes: Float[np.ndarray, "b"],
    pairs: Int[np.ndarray, "n"],
    pairs_of_probes: Int[np.ndarray, "b"],
    rate: float,
) -> tuple[float, float, float]:
    """The level with the largest expected F1 at this rate, where right and wrong are hard to part.

    With it the share that it lists, and the recall expected of it.
    """
    tried = []
    for level in np.unique(np.quantile(suspicion, np.linspace(0.01, 0.99, LEVELS - 1))):
        front = suspicion >= level
        recall = _recall_by_pairs(front, of_probes >= level, pairs, pairs_of_probes)
        listed = float(front.mean())
        tried.append(
            (2 * min(rate * recall, listed) / (rate + listed), float(level), listed, recall)
        )
    return max(tried)[1:]


def _cut_by_the_joint(
    evidence: Evidence,
    suspicion: Float[np.ndarray, "n"],
    of_probes: Float[np.ndarray, "b"],
    pairs: Int[np.ndarray, "n"],
    pairs_of_probes: Int[np.ndarray, "b"],
) -> tuple[tuple[float, float, float], float]:
    """The same where nothing holds the rate from below, and the highest rate that there may be.

    Noise that a weak network has half learnt lies among its hard examples, and where its probes
    fall says little of it. The confident joint counts more than there are, and lists fewer: the
    list ends between the two.
    """
    found = joint.find(evidence)
    listed = float(found.flagged.mean())
    level = float(np.quantile(suspicion, 1 - (listed + BETWEEN * (found.noise_rate - listed))))
    front = suspicion >= level
    recall = _recall_by_pairs(front, of_probes >= level, pairs, pairs_of_probes)
    return (level, float(front.mean()), recall), found.noise_rate
