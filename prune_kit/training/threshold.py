"""When the training accuracy is measured, and on which examples, to find the step that reaches a threshold."""

import torch

from prune_kit import randomness

# examples; the standard error of an accuracy of 50% is 1.6 points, and none where n is no larger
SAMPLE = 1000
SPACING = 10  # between two measurements there are at most a tenth of the steps so far


def checked_steps(total_steps: int) -> frozenset[int]:
    """Give the numbers of finished steps after which the accuracy is measured: 1 .. 20, 22, 24, ..., and the last.

    They depend on the length of the protocol alone, so that a repeated or resumed run measures at
    the same ones. There are 60 in the first 800 steps and 110 in 78,000. Each costs as much as
    SAMPLE / (3 * batch size) steps: under a fifth of the training from some 800 steps of batch 128
    on. A training that gets there sooner is short.
    """
    steps, step = {total_steps}, 1
    while step < total_steps:
        steps.add(step)
        step += max(1, step // SPACING)
    return frozenset(steps)


def sample_of(members: torch.Tensor, seed: int) -> torch.Tensor:
    """Draw the members, at most SAMPLE of them, on which a run of this seed measures its accuracy.

    Parameters
    ----------
    members : (n,) the rows that are trained on.
    seed : that of the run.
    """
    order = torch.randperm(len(members), generator=randomness.generator(seed, "threshold"))
    return members[order[:SAMPLE].to(members.device)]
