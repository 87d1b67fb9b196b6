"""Rows with wrong labels, made up, and their evaluation."""

import numpy as np

from prune_kit.cleaning.evaluation import evaluate


def drawn(n=300, classes=4, rate=0.3, levels=2.0, seed=0):
    """Rows with wrong labels, most of them more suspect than others; no ties with `levels=None`."""
    rng = np.random.default_rng(seed)
    true_label = rng.integers(0, classes, n)
    wrong = rng.random(n) < rate
    label = np.where(wrong, (true_label + rng.integers(1, classes, n)) % classes, true_label)
    suspicion = rng.normal(size=n) + 2 * wrong
    if levels:
        suspicion = np.round(suspicion * levels) / levels
    suggested = np.where(rng.random(n) < 0.5, true_label, rng.integers(-1, classes, n))
    return {
        "suspicion": suspicion,
        "flagged": suspicion + rng.normal(size=n) / 2 > 1,
        "label": label,
        "true_label": true_label,
        "suggested": suggested,
        "classes": classes,
    }


def evaluated(suspicion, wrong, flagged=None, **options):
    """The evaluation of rows of two classes, all given as class 0."""
    wrong = np.array(wrong, dtype=bool)
    return evaluate(
        suspicion=np.array(suspicion, dtype=float),
        flagged=np.zeros_like(wrong) if flagged is None else np.array(flagged, dtype=bool),
        label=np.zeros(len(wrong), dtype=int),
        true_label=wrong.astype(int),
        suggested=np.full(len(wrong), -1),
        classes=2,
        **options,
    )
