"""forgetting: how often an example goes from right to wrong between two presentations.

Paper: Toneva et al. 2019, https://arxiv.org/abs/1812.05159, section 3.
"""

import numpy as np
from jaxtyping import Float, Int8, Int32

from prune_kit.data.dataset import Dataset
from prune_kit.scorers import Runs

HIGHER_MEANS = "harder"
NEEDS = "minibatches"


def score(data: Dataset, runs: Runs, *, epoch: int) -> Float[np.ndarray, "R N"]:
    """The forgetting events of each run over epochs 1 .. `epoch`.

            s = #{t in 2 .. epoch : right at presentation t - 1, wrong at presentation t}

    An example that was never learned counts `epoch`. There are at most `epoch` - 1 events, so it is
    harder than any that was learned once. NaN for an example that was never presented. Parameters
    and errors are those of `scorers.Scorer`.
    """
    counts = [forgetting_events(runs.over_epochs("correct", epoch, run)) for run in runs.recorded]
    return np.stack(counts)


def extra_arrays(
    data: Dataset, runs: Runs, scores: Float[np.ndarray, "R N"], *, epoch: int
) -> dict[str, Int32[np.ndarray, "N"]]:
    """In how many runs each example was never learned.

    Parameters are those of `scorers.ScorerExtras`.
    """
    return {"never_learned": never_learned(scores, epoch)}


def never_learned(per_run: Float[np.ndarray, "R N"], epoch: int) -> Int32[np.ndarray, "N"]:
    """How many of the runs count an example as never learned, which means as `epoch` events."""
    counts: np.ndarray = (per_run == epoch).sum(axis=0).astype(np.int32)
    return counts


def forgetting_events(correct: Int8[np.ndarray, "T N"]) -> Float[np.ndarray, "N"]:
    """Count the changes from right to wrong between one presentation and the next.

    Parameters
    ----------
    correct
        For each epoch and example 1 (right), 0 (wrong) or -1 (not presented, which is passed over).

    Returns
    -------
    events
        The count (N,). It is T for an example that was never right, and NaN for one that was never
        presented.
    """
    epochs, count = correct.shape
    events = np.zeros(count)
    last = np.full(count, -1, dtype=np.int8)
    for row in correct:
        events += (last == 1) & (row == 0)
        last = np.where(row >= 0, row, last)
    events[~(correct == 1).any(axis=0)] = epochs
    events[~(correct >= 0).any(axis=0)] = np.nan
    return events
