"""What is recorded of a training: one small observer for each kind of file.

An observer knows logits, labels, an epoch and the folder to which it writes. It does not know who
trains. Whoever does calls `after(epoch)` when an epoch has ended; 0 is the untrained network.
`Minibatches` and `ProbabilitySums` look at the logits (N, C) that an epoch has presented: row i is
that of example i, NaN where it was not presented. The others look at the network between two
epochs, and `Thresholds` between two steps as well. A file that is there and holds what is asked for
is left as it is.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import nn

from prune_kit.runs.signal_files import holds, threshold_file, write_signals
from prune_kit.runs.tensor_files import owned, write_tensors
from prune_kit.storage import files
from prune_kit.training import signals, threshold

NEVER = -1
Evaluate = Callable[[], torch.Tensor]  # gives the logits (N, C) of a clean pass


class Observer(Protocol):
    """Records what it is for, whenever it is told that an epoch has ended."""

    def after(self, epoch: int) -> None:
        """Record what is asked for at this epoch."""


@dataclass(frozen=True, eq=False)
class Minibatches:
    """The signals of the training minibatches, of every epoch: `minibatch-0001.npz`.

    Parameters
    ----------
    folder : that of the run.
    logits : (N, C) what the epoch has presented; the same tensor for every epoch.
    labels : (N,) on the same device.
    names : the signals that a file must hold.
    """

    folder: Path
    logits: torch.Tensor
    labels: torch.Tensor
    names: frozenset[str]

    def after(self, epoch: int) -> None:
        """Record the signals of this epoch."""
        path = self.folder / f"minibatch-{epoch:04}.npz"
        if not holds(path, self.names):
            write_signals(path, signals.statistics(self.logits, self.labels))


class ProbabilitySums:
    """The probabilities of the minibatches, averaged over the epochs: `probability-0020.npy`.

    Parameters
    ----------
    folder : that of the run.
    logits : (N, C) what the epoch has presented; the same tensor for every epoch.
    last_epoch : the epoch up to which they are averaged; its average is written.
    """

    def __init__(self, folder: Path, logits: torch.Tensor, last_epoch: int) -> None:
        self.folder, self.logits, self.last_epoch = folder, logits, last_epoch
        self.total = torch.zeros_like(logits)
        self.presentations = torch.zeros(len(logits), dtype=torch.int32, device=logits.device)
        self.complete = True  # the sums hold every epoch so far

    def after(self, epoch: int) -> None:
        """Add the epoch to the sums, and write the average where it is the last one."""
        self.total += self.logits.softmax(1).nan_to_num_(0.0)
        self.presentations += ~self.logits[:, 0].isnan()
        self.write(epoch)

    def write(self, epoch: int) -> None:
        """Write the average up to `epoch`, if it is the one asked for and known."""
        path = self.folder / f"probability-{epoch:04}.npy"
        if epoch == self.last_epoch > 0 and self.complete and not path.is_file():
            buffer = io.BytesIO()
            np.save(buffer, (self.total / self.presentations[:, None]).cpu().numpy())
            files.write_checked(path, buffer.getbuffer())

    def state(self) -> dict[str, torch.Tensor]:
        """Give the sums, for a state file; nothing where they lack an epoch."""
        if not self.complete:
            return {}
        return {"probability_sum": self.total, "presentations": self.presentations}

    def restore(self, tensors: dict[str, torch.Tensor]) -> None:
        """Go on from what `state` gave; without it the sums lack the epochs before."""
        self.complete = "probability_sum" in tensors
        if self.complete:
            self.total.copy_(tensors["probability_sum"])
            self.presentations.copy_(tensors["presentations"])


@dataclass(frozen=True, eq=False)
class Evaluations:
    """The signals of a clean pass over the data, after the epochs asked for: `sweep-0020.npz`.

    Parameters
    ----------
    folder : that of the run.
    kind : "sweep" for the rows of the data, "test" for the test examples.
    epochs : after which a clean pass is made.
    evaluate : makes it.
    labels : (N,) of the examples that it evaluates.
    names : the signals that a file must hold.
    """

    folder: Path
    kind: str
    epochs: frozenset[int]
    evaluate: Evaluate
    labels: torch.Tensor
    names: frozenset[str]

    def after(self, epoch: int) -> None:
        """Record the signals, if they are asked for at this epoch."""
        if epoch in self.epochs:
            self.record(epoch)

    def record(self, epoch: int) -> None:
        """Record the signals of the network as it is, under this epoch."""
        path = self.folder / f"{self.kind}-{epoch:04}.npz"
        if not holds(path, self.names):
            write_signals(path, signals.statistics(self.evaluate(), self.labels))


@dataclass(frozen=True, eq=False)
class Weights:
    """The network after the epochs asked for: `weights-0020.safetensors`."""

    folder: Path
    epochs: frozenset[int]
    model: nn.Module

    def after(self, epoch: int) -> None:
        """Keep the network, if it is asked for at this epoch."""
        path = self.folder / f"weights-{epoch:04}.safetensors"
        if epoch in self.epochs and not path.is_file():
            write_tensors(path, owned(self.model.state_dict()), {})


class Thresholds:
    """The signals of a clean pass at the first step that reaches a training accuracy: `threshold-0.5.npz`.

    Parameters
    ----------
    folder : that of the run.
    thresholds : the accuracies in (0, 1] that are looked for.
    accuracy : measures the accuracy of the network as it is, on a sample of what it is trained on.
    evaluate : makes a clean pass over all rows. Both must leave the network and all generators as
        they were.
    labels : (N,) of all rows.
    total_steps : of the whole protocol. They decide after which steps the accuracy is measured
        (`threshold.checked_steps`).
    """

    def __init__(
        self,
        folder: Path,
        thresholds: set[float],
        accuracy: Callable[[], float],
        evaluate: Evaluate,
        labels: torch.Tensor,
        total_steps: int,
    ) -> None:
        self.folder, self.labels, self.total_steps = folder, labels, total_steps
        self.accuracy, self.evaluate = accuracy, evaluate
        self.unreached = thresholds  # those that no step so far has reached
        self.steps = threshold.checked_steps(total_steps)
        self.measured = (0, float("nan"))  # the last step at which it was, and the accuracy there
        self.reached: dict[float, dict[str, np.ndarray]] = {}  # since the last epoch ended

    def after_step(self, step: int) -> None:
        """Measure after so many finished steps, where it is due; a threshold that is reached gets its clean pass."""
        if not self.unreached or step not in self.steps:
            return
        self.measured = step, self.accuracy()
        reached = {value for value in self.unreached if self.measured[1] >= value}
        if reached:
            self.unreached = self.unreached - reached
            recorded = signals.statistics(self.evaluate(), self.labels) | self._when(step)
            self.reached |= dict.fromkeys(reached, recorded)

    def after(self, epoch: int) -> None:
        """Record the thresholds that the epoch has reached, and with the last step those that were never reached.

        The latter have `step` -1 and no signals.
        """
        never = self.unreached if self.measured[0] == self.total_steps else set()
        recorded = self.reached | dict.fromkeys(never, self._when(NEVER))
        for value, arrays in recorded.items():
            write_signals(self.folder / threshold_file(value), arrays)
        self.reached = {}

    def _when(self, step: int) -> dict[str, np.ndarray]:
        return {"step": np.array(step), "accuracy": np.array(self.measured[1])}
