"""One file for each cut, a way to tell how many labels are wrong: `find(evidence)`.

`find` takes an Evidence and gives a NoiseEstimate. It never sees the true labels. `NEEDS` says what
a cut requires: "probability", the averaged probabilities; "probes", labels that were planted wrong
while scoring; "" for the score alone.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int, Num

from prune_kit.cleaning.confident_joint import blocks
from prune_kit.errors import TableError

# added to the probabilities of both classes, so that ratios of vanishing ones mean nothing
SOFTENING = 0.01


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known of n labels.

    Attributes
    ----------
    hardness : (n,) float
        A higher value is harder.
    label : (n,) int
        The labels in question, from 0 to C - 1.
    classes : int
        The number C of classes.
    probability : (n, C) number or None
        The probabilities of the classes, averaged over training.
    given : (n,) int or None
        Of planted labels, the label before.
    probes : Evidence or None
        The same about planted labels, which are known to be wrong.
    seed : int
        For cuts that draw at random.
    column : str
        The name of the score, for messages.
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
        """The evidence about the labels `which`, with these probes."""
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
        """The probabilities of the classes. Raises TableError where there are none."""
        if self.probability is None:
            raise TableError(
                f"{self.column} was scored without averaged probabilities; choose cumulative_pl "
                "with `by`, or cut='mixture', which requires only the score"
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
        """How suspect each label is, in [0, 1].

            s = (q + a) / (p + q + 2 a)        a = SOFTENING

        p is the probability of the given label, q that of the likeliest other class. The value is
        above 0.5 where q > p. Without probabilities, it is the hardness, scaled to [0, 1].
        """
        if self.probability is not None:
            share: np.ndarray = (self.runner_up + SOFTENING) / (
                self.self_confidence + self.runner_up + 2 * SOFTENING
            )
            return share
        return scaled(self.hardness)


@dataclass(frozen=True, eq=False)
class NoiseEstimate:
    """How many of n labels are wrong, and which ones. A number that a cut does not give is NaN.

    Attributes
    ----------
    flagged : (n,) bool
        The labels that are taken for wrong.
    noise_rate : float
        The estimated share of wrong labels, in [0, 1].
    low, high : float
        The ends of its 90 % interval.
    precision, recall : float
        The expected quality of the list, in [0, 1].
    precision_low : float
        The precision if only a share `low` of the labels is wrong.
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
    """Find the likeliest other class of each label.

    Parameters
    ----------
    probability : (n, C) float
        Read a block of rows at a time.
    label : (n,) int
        From 0 to C - 1.

    Returns
    -------
    self_confidence : (n,) float64
        The probability of the given label.
    runner_up : (n,) float64
        The probability of the likeliest other class.
    which : (n,) int64
        That class.
    """
    self_confidence = np.empty(len(label))
    runner_up = np.empty(len(label))
    which = np.empty(len(label), dtype=np.int64)
    for part, stored in blocks(probability):
        block = stored.astype(np.float64)
        places = np.arange(len(block))
        self_confidence[part] = block[places, label[part]]
        block[places, label[part]] = -1
        which[part] = block.argmax(axis=1)
        runner_up[part] = block[places, which[part]]
    return self_confidence, runner_up, which


def scaled(hardness: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """The hardness (n,), scaled so that the least is 0 and the largest 1; 0 for a constant one."""
    low, high = float(hardness.min()), float(hardness.max())
    values: np.ndarray = (
        (hardness.astype(np.float64) - low) / (high - low)
        if high > low
        else np.zeros(len(hardness))
    )
    return values


@runtime_checkable
class CutModule(Protocol):
    """What a module of this folder must have.

    Attributes
    ----------
    NEEDS
        What it requires: "probability", "probes" or "".
    """

    NEEDS: str

    def find(self, evidence: Evidence) -> NoiseEstimate:
        """Estimate which labels are wrong, and how many, from the evidence alone.

        Raises
        ------
        TableError
            The evidence lacks what the module requires.
        """
