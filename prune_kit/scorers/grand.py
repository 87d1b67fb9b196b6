"""grand: the gradient's norm, of one example's loss with respect to all parameters.

Paper: Paul, Ganguli, Dziugaite 2021, https://arxiv.org/abs/2107.07075, definition 2.1. About epoch
0: the published result at initialisation came from a checkpoint library that restored the latest
step when it was asked for step 0. Honestly computed, grand@0 has a rank correlation of 0.96 with
the input's norm and -0.02 with EL2N, and prunes worse than random (CIFAR-10, half pruned: 92.19 %
against 93.54 % random). It is offered since the papers ask for it; `input_norm` is always scored
beside it. Use epoch 10 or later.

Batch norm is in eval mode, `bn="running"`: by the statistics that the checkpoint keeps, which are
the mean 0 and the variance 1 at epoch 0, as in the paper's code. With `bn="calibrated"` they are
computed anew before, by one pass over the training rows; a network without batch norm scores the
same either way.
"""

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from prune_kit.data.dataset import Dataset
from prune_kit.scorers import Runs

if TYPE_CHECKING:
    from prune_kit.runs.cache import RecordedRun

HIGHER_MEANS = "harder"
NEEDS = "checkpoint"
COMPANIONS = ("input_norm",)
OPTIONS = {
    "bn": {
        "type": "str",
        "default": "running",
        "choices": ("running", "calibrated"),
        "help": "The statistics of batch norm: those kept, or computed anew by one pass.",
    }
}


def score(data: Dataset, runs: Runs, *, epoch: int, bn: str) -> Float[np.ndarray, "R N"]:
    """The gradient norm of each example in each run, batch norm in eval mode, no augmentation.

        s_ri = || d crossentropy(f_r(x_i), y_i) / d w ||_2        0 or more

    Parameters
    ----------
    data, runs, epoch
        As `scorers.Scorer`.
    bn
        The statistics of batch norm: "running" or "calibrated".

    Raises
    ------
    RunError
        If the weights after `epoch` were not kept.
    """
    return runs.each(_kept_as(epoch, bn), partial(_norms, epoch=epoch, bn=bn))


def provenance(runs: Runs, *, epoch: int, bn: str) -> dict[str, Any]:
    """The arithmetic of the gradients: that of all runs, or how many runs had which.

    It is "bf16" only where that was close enough.

    Parameters
    ----------
    runs, epoch
        As `scorers.ScorerExtras`.
    bn
        The statistics of batch norm: "running" or "calibrated".
    """
    words = []
    for run in runs.recorded:
        word = run.extra_array(_kept_as(epoch, bn), "arithmetic")
        words.append("unrecorded" if word is None else str(word))
    counts = Counter(words)
    mixture = ", ".join(
        f"{word} in {count} of {len(words)} runs" for word, count in sorted(counts.items())
    )
    return {"gradient_precision": words[0] if len(counts) == 1 else mixture}


def _kept_as(epoch: int, bn: str) -> str:
    return f"grand-{epoch:04}" if bn == "running" else f"grand-{bn}-{epoch:04}"


def _norms(run: "RecordedRun", epoch: int, bn: str) -> dict[str, np.ndarray]:
    from prune_kit.measures.gradients.batch_norm import calibrate_on_data
    from prune_kit.measures.gradients.norms import data_gradient_norms
    from prune_kit.training.threads import using_threads

    data = run.inputs.data
    execution = run.inputs.execution
    model = run.model(epoch)
    with using_threads(execution.threads):
        if bn == "calibrated":
            calibrate_on_data(model, data, execution, run.seed)
        norms, arithmetic = data_gradient_norms(model, data, execution)
    return {"values": norms, "arithmetic": np.array(arithmetic)}
