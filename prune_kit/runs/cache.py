"""The run cache: a run is a function of its inputs, and is never trained twice.

It lives in the folder `runs/<key>/` of a workdir, which is `prune-kit-work` unless it is named:

    inputs.json              everything that the key is the hash of, readable
    minibatch-0001.npz       signals of epoch 1, every row, from the training minibatches
    sweep-0020.npz           signals of all rows after epoch 20, from a clean pass
    test-0020.npz            the same of the test examples
    threshold-0.5.npz        signals of all rows at the first step with half of them right
    weights-0020.safetensors the network after epoch 20
    probability-0020.npy     training-time probabilities of each row, averaged over epochs 1 .. 20
    state.safetensors        what training goes on from: weights, the optimiser's state, sums
    finished.json            written last: how far the run is, and what it took

Every file appears whole, by a rename, and the inputs determine its content. So a run that was
interrupted, or is asked for more, goes on from its state. One that is asked for an earlier epoch
repeats it to the same bits.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from prune_kit import models
from prune_kit.data.dataset import Dataset
from prune_kit.data.identity import index_digest
from prune_kit.errors import FileError, RunError
from prune_kit.protocol.config import TrainConfig
from prune_kit.protocol.execution import ResolvedExecution
from prune_kit.runs.signal_files import (
    REMEDY,
    array_names,
    holds,
    read_checked_array,
    read_signal,
    threshold_file,
)
from prune_kit.runs.tensor_files import read_tensors
from prune_kit.storage import files
from prune_kit.training import schedule
from prune_kit.training.signals import FIRST_NAMES

RUN_FORMAT = 1
OUTCOME = ("epoch", "steps", "seconds", "test_accuracy")
Computed = np.ndarray | dict[str, np.ndarray]  # one array, or several by their names


@dataclass(frozen=True, eq=False)
class RunInputs:
    """What a run is a function of.

    Parameters
    ----------
    data : the data set.
    config : the protocol.
    seed : of the first weights, the order and the augmentation.
    execution : where it trains; the number of jobs is no input.
    members : (n,) the rows that are trained on; None for all training rows.
    schedule_rows : the number of rows whose epochs count the steps. Left out, it is that of the
        full training set, so that a pruned set trains for as many steps.
    """

    data: Dataset
    config: TrainConfig
    seed: int
    execution: ResolvedExecution
    members: np.ndarray | None = None
    schedule_rows: int | None = None

    def describe(self) -> dict[str, Any]:
        """The inputs as JSON values; two runs are the same when these are."""
        return {
            "format": RUN_FORMAT,
            "fingerprint": self.data.fingerprint,
            "test_fingerprint": self.data.test.fingerprint,
            "preparation": self.data.preparation,
            "shape": list(self.data.shape),
            "classes": self.data.classes,
            "members": None if self.members is None else index_digest(self.rows),
            "config": self.config.values(),
            "steps": self.total_steps,
            "epoch_steps": self.epoch_steps,
            "seed": self.seed,
            "device": self.execution.device.partition(":")[0],
            "precision": self.execution.precision,
            "threads": self.execution.recorded_threads,
        }

    @cached_property
    def key(self) -> str:
        """The hash of the inputs, 24 hexadecimal digits."""
        return key_of(self.describe())

    @property
    def rows(self) -> np.ndarray:
        """The row numbers (n,) that are trained on, ascending."""
        return (
            self.data.rows.training
            if self.members is None
            else np.sort(self.members).astype(np.int64)
        )

    @property
    def epoch_steps(self) -> int:
        """The steps of one epoch of the rows that the schedule counts."""
        rows = self.schedule_rows or len(self.data.rows.training)
        return schedule.steps_per_epoch(
            rows, self.config.batch_size, drop_last=self.config.drop_last
        )

    @property
    def total_steps(self) -> int:
        """The steps of the whole protocol."""
        return self.config.epochs * self.epoch_steps

    @property
    def member_epoch_steps(self) -> int:
        """The steps of one pass over the members."""
        return schedule.steps_per_epoch(
            len(self.rows), self.config.batch_size, drop_last=self.config.drop_last
        )

    @property
    def epochs(self) -> int:
        """The passes over the members that the whole protocol makes."""
        return -(-self.total_steps // self.member_epoch_steps)


@dataclass(frozen=True)
class Request:
    """What a run must have recorded.

    Parameters
    ----------
    last_epoch : the epoch up to which it is trained.
    minibatches : whether the signals of the training minibatches up to `last_epoch` are needed.
    test : whether the signals of the test examples at `last_epoch` are needed.
    sweeps : the epochs after which all rows, and the test examples, are evaluated.
    weights : the epochs after which the network is kept.
    thresholds : training accuracies in (0, 1]. All rows are evaluated at the first step that
        reaches each of them, which may come after `last_epoch`.
    signals : the names of the signals that every file of signals must hold. A file that was written
        before one of them existed is recorded anew.
    """

    last_epoch: int
    minibatches: bool = False
    test: bool = False
    sweeps: frozenset[int] = field(default_factory=frozenset)
    weights: frozenset[int] = field(default_factory=frozenset)
    thresholds: frozenset[float] = field(default_factory=frozenset)
    signals: frozenset[str] = frozenset(FIRST_NAMES)

    def files(self) -> dict[str, int]:
        """Give the files that must be there, each with the latest epoch that it can be made from.

        Minibatches must be recorded while they are trained, and thresholds from the first step on.
        """
        wanted = {f"test-{self.last_epoch:04}.npz": self.last_epoch} if self.test else {}
        if self.minibatches:
            wanted |= {
                f"minibatch-{epoch:04}.npz": epoch - 1 for epoch in range(1, self.last_epoch + 1)
            }
        wanted |= {
            f"{kind}-{epoch:04}.npz": epoch for kind in ("sweep", "test") for epoch in self.sweeps
        }
        wanted |= {threshold_file(threshold): 0 for threshold in self.thresholds}
        return wanted | {f"weights-{epoch:04}.safetensors": epoch for epoch in self.weights}


@dataclass(frozen=True, eq=False)
class RecordedRun:
    """A run on the disk, for reading."""

    inputs: RunInputs
    folder: Path

    @property
    def seed(self) -> int:
        """The seed of this run."""
        return self.inputs.seed

    def sweep(self, name: str, epoch: int) -> np.ndarray:
        """A clean-pass signal (N,) after `epoch`. Raises RunError if it was not recorded."""
        return self._read("sweep", name, epoch)

    def test(self, name: str, epoch: int) -> np.ndarray:
        """A clean-pass signal (M,) of the test examples after `epoch`."""
        return self._read("test", name, epoch)

    def at_threshold(self, name: str, threshold: float) -> np.ndarray | None:
        """Give a clean-pass signal (N,) of the first step that reached a training accuracy.

        None where no step did. Raises RunError if it was not looked for.
        """
        step, _ = self.reached(threshold)
        return None if step is None else read_signal(self.folder / threshold_file(threshold), name)

    def reached(self, threshold: float) -> tuple[int | None, float]:
        """Give the first step that reached a training accuracy, and the accuracy that it had.

        Where no step did, the step is None, and the accuracy that of the last one. Raises RunError
        if it was not looked for.
        """
        path = self.folder / threshold_file(threshold)
        if not path.is_file():
            raise RunError(
                f"the run of seed {self.seed} did not watch for a training accuracy of "
                f"{threshold:g}"
            )
        step = int(read_signal(path, "step"))
        return None if step < 0 else step, float(read_signal(path, "accuracy"))

    def minibatches(self, name: str, epochs: int) -> np.ndarray:
        """A signal (T, N) of the training minibatches of epochs 1 .. `epochs`."""
        return np.stack([self._read("minibatch", name, epoch) for epoch in range(1, epochs + 1)])

    def sweeps(self, name: str, epochs: int) -> np.ndarray:
        """A clean-pass signal (T, N) after each of the epochs 1 .. `epochs`."""
        return np.stack([self.sweep(name, epoch) for epoch in range(1, epochs + 1)])

    def probability(self, epoch: int) -> np.ndarray | None:
        """Give the training-time probabilities (N, C), float32, averaged over the epochs up to one.

        None where they were not kept. Raises FileError when they are damaged.
        """
        path = self.folder / f"probability-{epoch:04}.npy"
        return read_checked_array(path) if path.is_file() else None

    def has_model(self, epoch: int) -> bool:
        """Whether the network after `epoch` was kept."""
        return (self.folder / f"weights-{epoch:04}.safetensors").is_file()

    def model(self, epoch: int) -> nn.Module:
        """The network after `epoch`, on the CPU. Raises RunError if it was not kept."""
        if not self.has_model(epoch):
            raise RunError(f"the run of seed {self.seed} kept no weights of epoch {epoch}")
        model = build_model(self.inputs)
        model.load_state_dict(read_tensors(self.folder / f"weights-{epoch:04}.safetensors")[0])
        return model

    def has(self, name: str) -> bool:
        """Whether `cached` has kept something under `name`."""
        return (self.folder / f"{name}.npz").is_file()

    def cached(self, name: str, compute: Callable[["RecordedRun"], Computed]) -> np.ndarray:
        """Compute something of this run once, and keep it in its folder.

        Parameters
        ----------
        name : under which it is kept.
        compute : gives one array, or several by name; `values` is then the one returned, and
            `extra_array` gives the others.
        """
        path = self.folder / f"{name}.npz"
        if not self.has(name):
            computed = compute(self)
            files.write_arrays(
                path, computed if isinstance(computed, dict) else {"values": computed}
            )
        return files.read_array(path, "values")

    def extra_array(self, name: str, array: str) -> np.ndarray | None:
        """Give another array that `cached` has kept under `name`; None where it has none."""
        path = self.folder / f"{name}.npz"
        return files.read_array(path, array) if array in array_names(path) else None

    def outcome(self) -> dict[str, Any]:
        """Read `finished.json`: epoch, steps, seconds, test_accuracy.

        Raises FileError when it is damaged.
        """
        path = self.folder / "finished.json"
        try:
            outcome = files.read_json(path)
        except FileError as error:
            raise FileError(f"{error}. {REMEDY}") from error
        numbers = [outcome.get(name) for name in OUTCOME]
        if not all(isinstance(number, int | float) for number in numbers):
            raise FileError(f"{path} is damaged: it lacks some of {', '.join(OUTCOME)}. {REMEDY}")
        return outcome

    def _read(self, kind: str, name: str, epoch: int) -> np.ndarray:
        path = self.folder / f"{kind}-{epoch:04}.npz"
        if not path.is_file():
            missing_file = f"{kind} signals at epoch {epoch}"
            raise RunError(f"the run of seed {self.seed} recorded no {missing_file}")
        return read_signal(path, name)


def key_of(inputs: dict[str, Any]) -> str:
    """Hash the inputs of a training: 24 hexadecimal digits, the name of its folder."""
    text = json.dumps(inputs, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def missing(inputs: RunInputs, request: Request, runs_folder: Path) -> list[str]:
    """The files that a run still lacks, or in which it lacks a signal that is asked for.

    Parameters are those of `recorder.complete`. Raises FileError when a file of signals is damaged.
    """
    folder = runs_folder / inputs.key
    lacking = [name for name in request.files() if not holds(folder / name, request.signals)]
    return lacking or [name for name in ["finished.json"] if not (folder / name).is_file()]


def build_model(inputs: RunInputs) -> nn.Module:
    """The untrained network of a run, on the CPU."""
    data = inputs.data
    return models.build(
        inputs.config.model, shape=data.shape, classes=data.classes, seed=inputs.seed
    )


def begun_threads(runs: Sequence[RunInputs], runs_folder: Path) -> int | None:
    """Give the CPU threads with which most of these runs were begun; None where none was.

    The threads in their own inputs do not count. A run is begun when it has left more than its
    inputs. Raises FileError when the inputs of some run cannot be read.
    """
    wanted = {key_of(run.describe() | {"threads": None}) for run in runs}
    paths = [
        path
        for path in sorted(runs_folder.glob("*/inputs.json"))
        if len(list(path.parent.iterdir())) > 1
    ]
    recorded = [_inputs_in(path) for path in paths]
    begun = Counter(
        inputs["threads"]
        for inputs in recorded
        if "threads" in inputs and key_of(inputs | {"threads": None}) in wanted
    )
    return max(begun, key=lambda threads: begun[threads], default=None)


def _inputs_in(path: Path) -> dict[str, Any]:
    try:
        return files.read_json(path)
    except FileError as error:
        raise FileError(
            f"{error}. Remove that file: all it holds is what its training was made with"
        ) from error
