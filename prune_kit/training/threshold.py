"""Watching a training for the first step at which its accuracy reaches a threshold."""

import numpy as np
import torch
from torch import nn

from prune_kit import randomness
from prune_kit.training import loop, signals
from prune_kit.training.images import DeviceImages

# examples; the standard error of an accuracy of 50% is 1.6 points, and none where n is no larger
SAMPLE = 1000
SPACING = 10  # between two measurements there are at most a tenth of the steps so far
NEVER = -1


def checked_steps(total_steps: int) -> frozenset[int]:
    """The numbers of finished steps after which the accuracy is measured: 1 .. 20, 22, 24, ..., and the last.

    They depend on nothing but the length of the protocol, so that a repeated or resumed run
    measures at the same ones. There are 60 in the first 800 steps and 110 in 78,000, each as dear
    as SAMPLE / (3 * batch size) steps: under a fifth of the training from some 800 steps of batch
    128 on. A training that gets there sooner is short.
    """
    steps, step = {total_steps}, 1
    while step < total_steps:
        steps.add(step)
        step += max(1, step // SPACING)
    return frozenset(steps)


class Watch:
    """What a run still looks for while it is trained, and what it has found since `take` was last called.

    The training accuracy is the share of a fixed sample of the members, drawn from the run's seed,
    that the network has right in eval mode and without augmentation. `unreached` are the thresholds
    that no step so far has reached.
    """

    def __init__(self, model: nn.Module, training: loop.Training, thresholds: set[float]) -> None:
        self.model, self.training, self.unreached = model, training, thresholds
        self.accuracy = float("nan")
        self.found: dict[float, dict[str, np.ndarray]] = {}
        if thresholds:
            members, pictures = training.members, training.images
            drawn = torch.randperm(
                len(members), generator=randomness.generator(training.seed, "threshold")
            )[:SAMPLE]
            rows = members[drawn.to(members.device)]
            self.steps = checked_steps(training.total_steps)
            self.sample = DeviceImages(pictures.of(rows), pictures.mean, pictures.deviation)
            self.sample_labels = training.labels[rows]

    def after_step(self, step: int) -> None:
        """Measure after so many finished steps, where it is due; a threshold that is reached gets its clean pass.

        The network's mode and weights and all generators are left as they were.
        """
        if not self.unreached or step not in self.steps:
            return
        precision = self.training.precision
        right = loop.sweep(self.model, self.sample, precision).argmax(1) == self.sample_labels
        self.accuracy = int(right.sum()) / len(right)
        reached = {threshold for threshold in self.unreached if self.accuracy >= threshold}
        if reached:
            self.unreached = self.unreached - reached
            logits = loop.sweep(self.model, self.training.images, precision)
            swept = signals.statistics(logits, self.training.labels)
            self.found |= {threshold: swept | self._measured(step) for threshold in reached}
        self.model.train()

    def take(self, *, at_the_end: bool) -> dict[float, dict[str, np.ndarray]]:
        """What was found, by threshold: all signals (N,), the `step` and the `accuracy` of the sample.

        `at_the_end` of the protocol, thresholds that were never reached have `step` -1 and no
        signals.
        """
        found, self.found = self.found, {}
        return found | (
            {threshold: self._measured(NEVER) for threshold in self.unreached} if at_the_end else {}
        )

    def _measured(self, step: int) -> dict[str, np.ndarray]:
        return {"step": np.array(step), "accuracy": np.array(self.accuracy)}
