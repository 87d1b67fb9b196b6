"""The mixture proportion: which share of the labels falls as the planted wrong labels do.

The planted labels define a depth from 0 to 1. Wrong labels are spread evenly over the depth. The
density of right labels grows with the depth. The even part of the density is the estimate.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

BIN = 0.05  # of depth
POWERS = np.array([1.0, 1.5, 2, 3, 4, 6, 9, 14, 22, 35, 60, 100, 170])
HALVINGS = 40


@dataclass(frozen=True, eq=False)
class ProbeRanking:
    """Planted labels (probes) by one measure, most suspect first, with the n labels between them.

    Attributes
    ----------
    order : (b,) int
        Sorts the probes, most suspect first.
    level : (b,) float
        The measure of the probes in that order.
    between : (b,) int
        For each probe, the number of labels that are at least as suspect as this probe and less
        suspect than the probe before it.
    count : int
        The number n of labels.
    """

    order: Int[np.ndarray, "b"]
    level: Float[np.ndarray, "b"]
    between: Int[np.ndarray, "b"]
    count: int

    @classmethod
    def of(cls, measure: Float[np.ndarray, "n"], probes: Float[np.ndarray, "b"]) -> "ProbeRanking":
        """Rank the probes and count the labels between them.

        Parameters
        ----------
        measure : (n,) float
            The measure of the labels. A higher value is more suspect.
        probes : (b,) float
            The same measure of the probes.
        """
        order = np.argsort(-probes, kind="stable")
        reached = np.searchsorted(np.sort(-measure), -probes[order], side="right")
        return cls(order, probes[order], np.diff(reached, prepend=0), len(measure))

    def rates(
        self,
        weight: Float[np.ndarray, "b"],
        rng: np.random.Generator,
        draws: int,
        depths: tuple[float, ...],
        *,
        least_power: float,
        slack: float,
    ) -> Float[np.ndarray, "draws"]:
        """Estimate the share of wrong labels in bootstrap samples of the probes and of the labels.

        Parameters
        ----------
        weight : (b,) float
            The weights of the probes. They add up to 1.
        rng : numpy.random.Generator
            Draws the samples.
        draws : int
            The number of samples.
        depths : tuple of float
            Each sample is fitted from depth 0 to one of these depths, drawn at random.
        least_power, slack : float
            As in `even_part`.

        Returns
        -------
        (draws,) float
            For each sample, the labels per unit of depth in the even part, divided by n.
        """
        count = len(weight)
        rates = np.zeros(draws)
        which = rng.integers(0, len(depths), draws)
        for place, depth in enumerate(depths):
            edges = np.linspace(0, depth, round(depth / BIN) + 1)
            samples = int((which == place).sum())
            counts = np.zeros((samples, len(edges) - 1))
            effective = np.ones(samples)
            for sample in range(samples):
                drawn = (weight * rng.multinomial(count, np.full(count, 1 / count)))[self.order]
                share = np.cumsum(drawn)
                if share[-1] > 0:  # else the sample has no probe with a weight
                    middle = (share - drawn / 2) / share[-1]
                    labels = rng.poisson(self.between)
                    counts[sample] = np.histogram(middle, edges, weights=labels)[0]
                    effective[sample] = share[-1] ** 2 / (drawn**2).sum()
            rates[which == place] = (
                even_part(counts, edges, effective, least_power, slack) / self.count
            )
        return rates


def even_part(
    counts: Float[np.ndarray, "d k"],
    edges: Float[np.ndarray, "k+1"],
    effective: Float[np.ndarray, "d"],
    least_power: float,
    slack: float,
) -> Float[np.ndarray, "d"]:
    """Fit an even density plus a power of the depth, and give the even part.

    For each power, the share of the even part has the largest likelihood. Of the powers, the
    largest one is chosen whose likelihood is within `slack` of the best. The likelihood is
    tempered, because only `effective` probes measure the depth.

    Parameters
    ----------
    counts : (d, k) float
        For each of d samples, the number of labels in each of k bins of depth.
    edges : (k + 1,) float
        The edges of the bins. The first is 0.
    effective : (d,) float
        The effective number of probes in each sample.
    least_power : float
        The smallest power that is tried.
    slack : float
        A difference of log-likelihoods that decides nothing.

    Returns
    -------
    (d,) float
        The number of labels per unit of depth in the even part.
    """
    depth = edges[-1]
    total = counts.sum(axis=1)
    powers = POWERS[POWERS >= least_power]
    even = np.diff(edges) / depth
    grown = np.diff((edges / depth)[None, :] ** (powers[:, None] + 1), axis=1)
    low = np.zeros((len(counts), len(powers), 1))
    high = np.ones((len(counts), len(powers), 1))
    # the likelihood is concave in the share: halve the interval that holds its maximum
    for _ in range(HALVINGS):
        share = (low + high) / 2
        density = share * even + (1 - share) * grown
        slope = (counts[:, None, :] * (even - grown) / density).sum(axis=2, keepdims=True)
        low, high = np.where(slope > 0, share, low), np.where(slope > 0, high, share)
    tempered = counts / (1 + total / (effective * depth))[:, None]
    likelihood = (tempered[:, None, :] * np.log(share * even + (1 - share) * grown)).sum(axis=2)
    good = likelihood >= likelihood.max(axis=1, keepdims=True) - slack
    chosen = len(powers) - 1 - good[:, ::-1].argmax(axis=1)
    rates: np.ndarray = share[np.arange(len(counts)), chosen, 0] * total / depth
    return rates
