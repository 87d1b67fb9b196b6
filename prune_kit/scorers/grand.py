"""grand: the gradient's norm, of one example's loss with respect to all parameters.

Paper: Paul, Ganguli, Dziugaite 2021, https://arxiv.org/abs/2107.07075, definition 2.1. About epoch 0: the published
result at initialisation came from a checkpoint library that restored the latest step when it was asked for step 0.
Honestly computed, grand@0 has a rank correlation of 0.96 with the input's norm and -0.02 with EL2N, and prunes worse
than random (CIFAR-10, half pruned: 92.19 % against 93.54 % random). It is offered since the papers ask for it;
`input_norm` is always scored beside it. Use epoch 10 or later.
"""

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from prune_kit.data.dataset import Dataset
from prune_kit.scorers import Runs

if TYPE_CHECKING:
    from prune_kit.training.runs import RecordedRun

HIGHER_MEANS = "harder"
NEEDS = "checkpoint"
COMPANIONS = ("input_norm",)


def score(data: Dataset, runs: Runs, *, epoch: int) -> Float[np.ndarray, "R N"]:
    """The gradient norm of each example in each run, batch norm in eval mode, no augmentation.

        s_ri = || d crossentropy(f_r(x_i), y_i) / d w ||_2        0 or more

    Raises RunError if `epoch` was not recorded.
    """
    return runs.each(f"grand-{epoch:04}", partial(_norms, epoch=epoch))


def _norms(run: "RecordedRun", epoch: int) -> np.ndarray:
    from prune_kit.training.gradient_norms import data_gradient_norms
    from prune_kit.training.threads import using_threads

    with using_threads(run.inputs.execution.threads):
        return data_gradient_norms(run.model(epoch), run.inputs.data, run.inputs.execution)
