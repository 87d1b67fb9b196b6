"""One file per way to find where the wrong labels end: `find(evidence) -> NoiseEstimate`.

A module sees the Evidence alone, never the true labels. `NEEDS` says without what it cannot work:
"probability", the averaged probabilities; "probes", labels that were planted wrong while scoring;
"" for the score alone.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int, Num

from prune_kit.cleaning.confident_joint import blocks
from prune_kit.errors import TableError

SOFTENING = (
    0.01  # added to both classes' probabilities, so that ratios of vanishing ones mean nothing
)


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known of n labels: how hard each is, and the probabilities (n, C) that training gave the classes.

    `probes` is the same of the rows whose labels were planted wrong; there `label` is the planted
    one, and `given` (n,) the one before. `column` names the score in messages.
    """

    hardness: Float[np.ndarray, "n"]
    label: Int[np.ndarray, "n"]
    classes: int
    probability: Num[np.ndarray, "n C"] | None = None
    given: Int[np.ndarray, "n"] | None = None
    probes: "Evidence | None" = None
    seed: int = 0
    column: str = ""

    def part(self, which: Bool[np.ndarray, "n"], probes: "Evidence | None" = None) -> "Evidence":
        """The evidence about some of the labels."""
        given, probability = (
            None if kept is None else kept[which] for kept in (self.given, self.probability)
        )
        return replace(
            self,
            hardness=self.hardness[which],
            label=self.label[which],
            probability=probability,
            given=given,
            probes=probes,
        )

    @property
    def probabilities(self) -> Num[np.ndarray, "n C"]:
        """The probabilities that training gave the classes. Raises TableError where none were kept."""
        if self.probability is None:
            raise TableError(
                f"{self.column} was scored without averaged probabilities; choose cumulative_pl "
                "with --by, or --cut mixture, which takes the score alone"
            )
        return self.probability

    @cached_property
    def _candidates(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return candidates(self.probabilities, self.label)

    @property
    def self_confidence(self) -> Float[np.ndarray, "n"]:
        """The probability of the given label."""
        return self._candidates[0]

    @property
    def runner_up(self) -> Float[np.ndarray, "n"]:
        """The probability of the likeliest other class."""
        return self._candidates[1]

    @property
    def suggested(self) -> Int[np.ndarray, "n"]:
        """The likeliest other class."""
        return self._candidates[2]

    @property
    def disagrees(self) -> Bool[np.ndarray, "n"]:
        """Whether another class is likelier than the given label."""
        return self.runner_up > self.self_confidence

    @cached_property
    def suspicion(self) -> Float[np.ndarray, "n"]:
        """How suspect a label is, in [0, 1].

        With probabilities: how much the likeliest other class has of what it and the given label
        share, (q + a) / (p + q + 2 a), a = SOFTENING; above 0.5 where it is the likelier. Else the
        hardness, from the least to the largest.
        """
        if self.probability is not None:
            share: np.ndarray = (self.runner_up + SOFTENING) / (
                self.self_confidence + self.runner_up + 2 * SOFTENING
            )
            return share
        return scaled(self.hardness)


@dataclass(frozen=True, eq=False)
class NoiseEstimate:
    """Which of n labels are taken for wrong; how many are wrong in all, and how good the list should be.

    `noise_rate` is the estimated share of wrong labels, between `low` and `high` with 90 %
    confidence; `precision` and `recall` are those expected, `precision_low` the precision if only
    `low` of them are wrong. NaN where the method does not tell.
    """

    flagged: Bool[np.ndarray, "n"]
    noise_rate: float = math.nan
    low: float = math.nan
    high: float = math.nan
    precision: float = math.nan
    precision_low: float = math.nan
    recall: float = math.nan


def candidates(
    probability: Float[np.ndarray, "n C"], label: Int[np.ndarray, "n"]
) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n"], Int[np.ndarray, "n"]]:
    """The probability of the given label, that of the likeliest other class, and which class that is."""
    count = len(label)
    self_confidence, runner_up, which = (
        np.empty(count),
        np.empty(count),
        np.empty(count, dtype=np.int64),
    )
    for part, stored in blocks(probability):
        block = stored.astype(np.float64)
        places = np.arange(len(block))
        self_confidence[part] = block[places, label[part]]
        block[places, label[part]] = -1
        which[part] = block.argmax(axis=1)
        runner_up[part] = block[places, which[part]]
    return self_confidence, runner_up, which


def scaled(hardness: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """The hardness from its least, 0, to its largest, 1; 0 where all are the same."""
    low, high = float(hardness.min()), float(hardness.max())
    values: np.ndarray = (
        (hardness.astype(np.float64) - low) / (high - low)
        if high > low
        else np.zeros(len(hardness))
    )
    return values
