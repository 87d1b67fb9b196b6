"""difficulty: in how many runs an example is wrong when half of the training examples are right.

Paper: Zielinski, Krishnan, Chatterjee 2020, "Weak and Strong Gradient Directions",
https://arxiv.org/abs/2003.07422, sections 4.2 and 4.3, with 8 runs.
"""

from typing import Any

import numpy as np
from jaxtyping import Float

from prune_kit.data.dataset import Dataset
from prune_kit.errors import OptionError
from prune_kit.progress import Progress
from prune_kit.scorers import Runs

HIGHER_MEANS = "harder"
NEEDS = "threshold"
OPTIONS = {
    "threshold": {
        "type": "float",
        "default": 0.5,
        "metavar": "F",
        "help": "Stop at this training accuracy.",
    }
}
COUNTS_RUNS = True


def check_options(*, threshold: float) -> None:
    """Check that the threshold is a training accuracy that can be reached.

    Raises
    ------
    OptionError
        If it is outside (0, 1].
    """
    if not 0 < threshold <= 1:
        raise OptionError(
            f"threshold={threshold} is out of range; a training accuracy above 0, at most 1"
        )


def score(
    data: Dataset, runs: Runs, *, epoch: int | None = None, threshold: float
) -> Float[np.ndarray, "R N"]:
    """1 where a run is wrong when its training accuracy has reached the threshold, else 0.

        d_i = sum_r 1[argmax_c p_r(x_i)[c] != y_i]        a whole number in 0 .. R

    In eval mode and without augmentation. The accuracy is that of a sample of at most 1,000
    training examples, measured after every step up to the tenth and then at every tenth more steps.
    A run that never reaches the threshold within its protocol is NaN for every example, and so is
    the count then: nobody knows what that run would have said.

    Parameters
    ----------
    data, runs, epoch
        As `scorers.Scorer`. The epoch is not used.
    threshold
        The training accuracy, in (0, 1], at whose first step each run is asked.
    """
    wrong = []
    for run in runs.recorded:
        correct = run.at_threshold("correct", threshold)
        if correct is None:
            text = _never(run.reached(threshold)[1], threshold)
            runs.progress(Progress(f"difficulty, seed {run.seed}", 1, 1, text))
        wrong.append(np.full(len(data), np.nan) if correct is None else 1.0 - correct)
    return np.stack(wrong)


def provenance(runs: Runs, *, epoch: int | None = None, threshold: float) -> dict[str, Any]:
    """After how many steps each run reached the threshold, and the accuracy measured there.

    The steps are None for a run that never reached it.

    Parameters
    ----------
    runs, epoch
        As `scorers.ScorerExtras`. The epoch is not used.
    threshold
        The training accuracy, in (0, 1].
    """
    steps, accuracies = zip(*(run.reached(threshold) for run in runs.recorded), strict=True)
    return {
        "threshold_steps": list(steps),
        "threshold_accuracies": [round(value, 4) for value in accuracies],
    }


def _never(last: float, threshold: float) -> str:
    return (
        f"the training accuracy never was {threshold:g} (at the end of the protocol {last:.3g}), "
        "so every difficulty is NaN. Lower `threshold`, or lengthen the protocol by `config.epochs`"
    )
