"""Evidence made up of two known kinds of labels: wrong ones, and right ones."""

from dataclasses import replace

import numpy as np

from prune_kit.cleaning.cuts import Evidence

CLASSES = 5


def made_up(count: int, rate: float, probes: int, *, apart: float, seed: int, pairs: bool = False):
    """Evidence about `count` labels, a share `rate` of them wrong, and which ones are wrong.

    The logit of the given label against the true class is normal around -apart for wrong labels,
    planted ones too, and around +apart for right ones. With `pairs` the noise takes the next class,
    and such labels are half as suspect; so are planted labels of these pairs.
    """
    rng = np.random.default_rng(seed)
    total = count + probes
    true, planted = rng.integers(0, CLASSES, total), np.arange(total) >= count
    noisy, shift = rng.random(total) < rate, rng.integers(1, CLASSES, total)
    given = (true + noisy * (1 if pairs else shift)) % CLASSES
    label = (
        given + planted * rng.integers(1, CLASSES, total)
    ) % CLASSES  # a wrong one may be set right by it
    wrong = label != true
    half = pairs & (label == (true + 1) % CLASSES)
    centre = np.where(wrong, np.where(half, -apart / 2, -apart), apart)
    logit = rng.normal(centre, 1.0)
    other = np.where(wrong, true, (label + rng.integers(1, CLASSES, total)) % CLASSES)
    probability, rows = np.full((total, CLASSES), 0.001), np.arange(total)
    share = 1 / (1 + np.exp(-logit))
    probability[rows, label] += share
    probability[rows, other] += 1 - share
    probability /= probability.sum(axis=1, keepdims=True)
    whole = Evidence(
        hardness=-probability[rows, label],
        label=label,
        classes=CLASSES,
        probability=probability.astype(np.float16),
        column="cumulative_pl@10",
    )
    known = replace(whole.part(planted), given=given[planted])
    return whole.part(~planted, known), wrong[~planted]


def f1(flagged: np.ndarray, wrong: np.ndarray) -> float:
    return 2 * (flagged & wrong).sum() / (flagged.sum() + wrong.sum())
