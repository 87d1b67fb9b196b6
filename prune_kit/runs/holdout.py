"""The folds of holdout validation as they are kept: what was asked of each network, and what is still to be trained.

    runs/<key>/inputs.json                       everything the key is the hash of, readable
    runs/<key>/ratio-70-folds-0000-0000.npz      what the networks of these folds said of the rows they did not see
    runs/<key>/in-work/ratio-70-folds-0001-0004/ what the training of these folds goes on from, should it be stopped

Every fold is a function of its inputs, so folds may be added, and an interrupted command goes on
where it was, to the same bits. In bf16 on a CPU the last bits depend, besides, on how many networks
train at once; those that are to train at once stay together from the moment that a command has
planned it.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from prune_kit import models, randomness
from prune_kit.data.dataset import Dataset
from prune_kit.protocol.config import TrainConfig
from prune_kit.protocol.execution import ResolvedExecution
from prune_kit.runs.cache import RunInputs, key_of
from prune_kit.runs.signal_files import array_names, read_signal
from prune_kit.runs.subsets import held_out_sets
from prune_kit.training import ensemble

FOLD_FORMAT = 1
IN_WORK = "in-work"
ARRAYS = ("held_out", "right", "test_accuracy", "seconds")
PROBABILITY_CLASSES = 100  # with more, the probabilities of the held-out rows would fill disks
LARGEST_GROUP = {
    "cpu": 4,
    "cuda": 256,
}  # on a CPU more than four gain nothing: benchmarks/cscore.py --ways


@dataclass(frozen=True, eq=False)
class Holdout:
    """The networks of holdout validation: `folds` at each of the `ratios`, percents of the rows trained on.

    Two are equal when their folds are the same networks, however many of them each speaks of.
    """

    data: Dataset
    config: TrainConfig
    execution: ResolvedExecution
    seed: int
    sampling: str
    ratios: tuple[int, ...]
    folds: int
    runs_folder: Path

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Holdout) and self.folder == other.folder

    def __hash__(self) -> int:
        return hash(self.folder)

    @cached_property
    def inputs(self) -> dict[str, Any]:
        """What every fold is a function of, with its ratio and number, as JSON values."""
        common = RunInputs(self.data, self.config, self.seed, self.execution).describe()
        by_hand = bool(ensemble.perceptron_layers(self.network(0)))
        return {**common, "format": FOLD_FORMAT, "sampling": self.sampling, "by_hand": by_hand}

    @cached_property
    def folder(self) -> Path:
        """Where the folds are kept."""
        return self.runs_folder / key_of(self.inputs)

    def kept(self) -> dict[tuple[int, int], tuple[Path, int]]:
        """Where (ratio, fold) is kept: the file, and its place in it.

        A file that lacks an array, since it is older than that, counts for nothing.
        """
        found = {}
        for path in sorted(self.folder.glob("ratio-*-folds-*.npz")):
            if not self.arrays <= array_names(path):
                continue
            ratio, group = _group_in(path)
            for place, fold in enumerate(group):
                found[ratio, fold] = (path, place)
        return found

    @property
    def arrays(self) -> frozenset[str]:
        """The arrays that a file of folds holds."""
        few = self.data.classes <= PROBABILITY_CLASSES
        return frozenset(ARRAYS) | ({"probability"} if few else frozenset())

    def path(self, ratio: int, group: range) -> Path:
        """Where the folds of a group are kept once they are trained."""
        return self.folder / f"{_file_name(ratio, group)}.npz"

    def in_work(self, ratio: int, group: range) -> Path:
        """The folder that a group has from its planning to its end, with what it goes on from."""
        return self.folder / IN_WORK / _file_name(ratio, group)

    def votes(self) -> tuple[np.ndarray, np.ndarray]:
        """How often each row was held out, and how often it was then classified right: both int32 (S, N)."""
        asked, right = np.zeros((2, len(self.ratios), len(self.data)), dtype=np.int32)
        kept = self.kept()
        for s, ratio in enumerate(self.ratios):
            for fold in range(self.folds):
                path, place = kept[ratio, fold]
                asked[s] += np.unpackbits(
                    read_signal(path, "held_out")[place], count=len(self.data)
                )
                right[s] += np.unpackbits(read_signal(path, "right")[place], count=len(self.data))
        return asked, right

    def probability(self) -> np.ndarray | None:
        """The probabilities (N, C) that networks gave rows they had not seen, averaged over the votes; NaN without any.

        None where there are too many classes to keep them.
        """
        if self.data.classes > PROBABILITY_CLASSES:
            return None
        total, count = np.zeros((len(self.data), self.data.classes)), np.zeros((len(self.data), 1))
        for (ratio, fold), (path, place) in sorted(self.kept().items()):
            if ratio in self.ratios and fold < self.folds:
                rows = np.flatnonzero(
                    np.unpackbits(read_signal(path, "held_out")[place], count=len(self.data))
                )
                total[rows] += read_signal(path, "probability")[place]
                count[rows] += 1
        return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)

    @property
    def seconds(self) -> float:
        """What all folds took, in seconds of their processes."""
        paths = {
            path
            for (ratio, fold), (path, _) in self.kept().items()
            if ratio in self.ratios and fold < self.folds
        }
        return float(sum(read_signal(path, "seconds") for path in sorted(paths)))

    def test_accuracy(self) -> np.ndarray:
        """The test accuracy (S, k) of every network."""
        kept = self.kept()
        return np.array(
            [
                [_at(kept[ratio, fold], "test_accuracy") for fold in range(self.folds)]
                for ratio in self.ratios
            ]
        )

    def groups(self) -> list[tuple[int, range]]:
        """What is still to be trained: (ratio, folds), the folds of a group at once, first folds first.

        The groups that an interrupted command planned stay what they were.
        """
        kept = self.kept()
        lacking = {
            (ratio, fold) for ratio in self.ratios for fold in range(self.folds)
        } - kept.keys()
        size = max(
            min(self._group_size(), len(lacking) // self.execution.jobs), 1
        )  # no process is to stand idle
        found: list[tuple[int, range]] = []
        for ratio, group in map(_group_in, sorted(self.folder.glob(f"{IN_WORK}/ratio-*-folds-*"))):
            folds = {(ratio, fold) for fold in group}
            if folds <= lacking:
                found.append((ratio, group))
                lacking -= folds
        for ratio in self.ratios:
            group = range(0)
            for fold in range(self.folds):
                if (ratio, fold) not in lacking:
                    continue
                if fold == group.stop and len(group) in range(1, size):
                    found.pop()
                    group = range(group.start, fold + 1)
                else:
                    group = range(fold, fold + 1)
                found.append((ratio, group))
        return sorted(found, key=lambda group: (group[1].start, group[0]))

    def held_out(self, ratio: int) -> list[np.ndarray]:
        """The rows that each of the folds at a ratio does not train on."""
        return held_out_sets(
            self.data.rows.training, ratio, self.folds, seed=self.seed, sampling=self.sampling
        )

    def network_seed(self, ratio: int, fold: int) -> int:
        """The seed of one network."""
        return randomness.derived_seed(self.seed, f"fold at {ratio} percent", fold)

    def network(self, seed: int) -> torch.nn.Module:
        """An untrained network, on the CPU."""
        return models.build(
            self.config.model, shape=self.data.shape, classes=self.data.classes, seed=seed
        )

    def _group_size(self) -> int:
        """How many networks train at once: as many as half of the free memory holds, where batching pays at all."""
        device = torch.device(self.execution.device)
        largest = LARGEST_GROUP[device.type]
        if not self.inputs["by_hand"]:
            return 1
        if device.type == "cpu":
            return largest
        weights = sum(parameter.numel() for parameter in self.network(0).parameters())
        free, _ = torch.cuda.mem_get_info(device)
        return max(min(largest, int(free / 2 / (6 * 4 * weights))), 1)


def _file_name(ratio: int, group: range) -> str:
    return f"ratio-{ratio}-folds-{group[0]:04}-{group[-1]:04}"


def _group_in(path: Path) -> tuple[int, range]:
    _, ratio, _, first, last = path.stem.split("-")
    return int(ratio), range(int(first), int(last) + 1)


def _at(kept: tuple[Path, int], name: str) -> Any:
    path, place = kept
    return read_signal(path, name)[place]
