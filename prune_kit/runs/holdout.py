"""The folds of holdout validation as they are kept, and which of them are still to be trained.

    runs/<key>/inputs.json                       everything that the key is the hash of, readable
    runs/<key>/ratio-70-folds-0000-0000.npz      how the networks of these folds classify the rows
                                                 that they did not see
    runs/<key>/in-work/ratio-70-folds-0001-0004/ what the training of these folds goes on from

Every fold is a function of its inputs, so folds may be added, and an interrupted command goes on
where it was, to the same bits.

Perceptrons train in groups. On a CPU in fp32 a network has the same bits in any group. So groups
are cut as the work is, and shrink until every process has one. Groups that an interrupted command
has planned stay together, for they have a state to go on from. On a GPU, and in bf16, the last bits
depend on how many networks train at once. There the group size is an input, and a fold f always
trains in the block of folds from f // size * size on, with as many networks as the size says. A
block whose end was not asked for is trained whole, and the folds beyond are kept for later. So
`--jobs` changes no result anywhere; processes may stand idle while the last blocks train.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from prune_kit import models, randomness
from prune_kit.data.dataset import Dataset
from prune_kit.protocol.config import TrainConfig
from prune_kit.protocol.execution import ResolvedExecution
from prune_kit.results.column import MANY_CLASSES
from prune_kit.runs.cache import RunInputs, key_of
from prune_kit.runs.signal_files import array_names, read_signal
from prune_kit.runs.subsets import held_out_sets
from prune_kit.training import ensemble

FOLD_FORMAT = 1
IN_WORK = "in-work"
ARRAYS = ("held_out", "right", "test_accuracy", "seconds")
# On a CPU more than four gain nothing: benchmarks/cscore.py --ways. A GPU was not measured. It has
# as many as there are folds unless others are asked for, so that no block is trained in vain.
LARGEST_GROUP = {"cpu": 4, "cuda": 20}
# for the networks of a group on a GPU; a constant, for the size of a group can change the last bits
GROUP_BYTES = 4 * 2**30
COPIES = 6  # of the weights while they are trained: gradients, momentum, and what steps take


@dataclass(frozen=True, eq=False)
class Holdout:
    """The networks of holdout validation. Two are equal when their folds are the same networks.

    Parameters
    ----------
    data : the data set.
    config : the protocol. Every network passes `config.epochs` times over its own rows.
    execution : where they train; the number of jobs changes no result.
    seed : of all of them.
    sampling : how rows are held out; `subsets.held_out_sets` says how.
    ratios : percents of the rows that are trained on.
    folds : how many networks there are at each ratio; it is no input of any of them.
    runs_folder : the cache, in which they have a folder.
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
    def batched_mlp(self) -> bool:
        """Whether the networks are plain perceptrons, several of which train at once."""
        return bool(ensemble.mlp_layers(self.network(0)))

    @cached_property
    def group_size(self) -> int:
        """Give how many networks train in one batched computation, at most.

        It depends on the network and the kind of device, on nothing that changes from one command
        to the next.
        """
        if not self.batched_mlp:
            return 1
        largest = LARGEST_GROUP[self.execution.kind]
        if self.execution.on_cpu:
            return largest
        weights = sum(parameter.numel() for parameter in self.network(0).parameters())
        return max(min(largest, GROUP_BYTES // (COPIES * 4 * weights)), 1)

    @property
    def rounded_by_group(self) -> bool:
        """Whether the last bits of a network depend on how many train with it."""
        alike = self.execution.on_cpu and self.execution.precision == "fp32"
        return self.group_size > 1 and not alike

    @cached_property
    def inputs(self) -> dict[str, Any]:
        """What every fold is a function of, with its ratio and number, as JSON values.

        The group size is among them where bits depend on it. Folders that were made before it was
        are gone on with as they are: their folds stay, and further ones train in blocks.
        """
        common = RunInputs(self.data, self.config, self.seed, self.execution).describe()
        inputs = {
            **common,
            "format": FOLD_FORMAT,
            "sampling": self.sampling,
            "by_hand": self.batched_mlp,
        }
        if self.rounded_by_group and not (self.runs_folder / key_of(inputs)).is_dir():
            inputs["group_size"] = self.group_size
        return inputs

    @cached_property
    def folder(self) -> Path:
        """Where the folds are kept."""
        return self.runs_folder / key_of(self.inputs)

    def kept(self) -> dict[tuple[int, int], tuple[Path, int]]:
        """Where (ratio, fold) is kept: the file, and its place in it.

        A file that lacks an array, since it is older than that, counts for nothing.
        """
        kept: dict[tuple[int, int], tuple[Path, int]] = {}
        for path in sorted(self.folder.glob("ratio-*-folds-*.npz")):
            if not self.arrays <= array_names(path):
                continue
            ratio, group = _group_in(path)
            for place, fold in enumerate(group):
                kept[ratio, fold] = (path, place)
        return kept

    @property
    def arrays(self) -> frozenset[str]:
        """The arrays that a file of folds holds."""
        few = self.data.classes <= MANY_CLASSES
        return frozenset(ARRAYS) | ({"probability"} if few else frozenset())

    def path(self, ratio: int, group: range) -> Path:
        """Where the folds of a group are kept once they are trained."""
        return self.folder / f"{_file_name(ratio, group)}.npz"

    def in_work(self, ratio: int, group: range) -> Path:
        """The folder that a group has from its planning to its end, with what it goes on from."""
        trained = self.trained_with(group)
        name = _file_name(ratio, group)
        if trained != group:
            name += f"-of-{trained[0]:04}-{trained[-1]:04}"
        return self.folder / IN_WORK / name

    def trained_with(self, group: range) -> range:
        """Give the folds that train at once with a group: its block, or itself in fp32 on a CPU."""
        if not self.rounded_by_group:
            return group
        start = group.start // self.group_size * self.group_size
        return range(start, start + self.group_size)

    def votes(self) -> tuple[np.ndarray, np.ndarray]:
        """Count how often each row was held out, and then classified right: both int32 (S, N)."""
        held_out, right = np.zeros((2, len(self.ratios), len(self.data)), dtype=np.int32)
        kept = self.kept()
        for s, ratio in enumerate(self.ratios):
            for fold in range(self.folds):
                path, place = kept[ratio, fold]
                held_out[s] += np.unpackbits(
                    read_signal(path, "held_out")[place], count=len(self.data)
                )
                right[s] += np.unpackbits(read_signal(path, "right")[place], count=len(self.data))
        return held_out, right

    def probability(self) -> np.ndarray | None:
        """Average the probabilities (N, C) that networks gave rows which they had not seen.

        NaN where no network had not seen a row. None where there are too many classes to keep them.
        """
        if self.data.classes > MANY_CLASSES:
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
        """Give what is still to be trained: (ratio, folds) of each group, first folds first."""
        kept = set(self.kept())
        groups = self._blocks(kept) if self.rounded_by_group else self._batches(kept)
        return sorted(groups, key=lambda group: (group[1].start, group[0]))

    def _blocks(self, kept: set[tuple[int, int]]) -> list[tuple[int, range]]:
        """What is missing of each block that has a missing fold which was asked for."""
        size = self.group_size
        groups: list[tuple[int, range]] = []
        for ratio, start in product(self.ratios, range(0, self.folds, size)):
            missing = [fold for fold in range(start, start + size) if (ratio, fold) not in kept]
            if missing and missing[0] < self.folds:
                groups += [(ratio, neighbours) for neighbours in _neighbours(missing)]
        return groups

    def _batches(self, kept: set[tuple[int, int]]) -> list[tuple[int, range]]:
        """Groups that an interrupted command planned, and batches of the other missing folds."""
        missing = set(product(self.ratios, range(self.folds))) - kept
        size = max(min(self.group_size, len(missing) // self.execution.jobs), 1)
        groups: list[tuple[int, range]] = []
        for ratio, group in map(_group_in, sorted(self.folder.glob(f"{IN_WORK}/ratio-*-folds-*"))):
            folds = set(product([ratio], group))
            if folds <= missing:
                groups.append((ratio, group))
                missing -= folds
        for ratio in self.ratios:
            folds_missing = [fold for fold in range(self.folds) if (ratio, fold) in missing]
            for run in _neighbours(folds_missing):
                groups += [(ratio, run[at : at + size]) for at in range(0, len(run), size)]
        return groups

    def held_out(self, ratio: int, folds: int) -> list[np.ndarray]:
        """The rows that each of the first `folds` folds at a ratio does not train on."""
        return held_out_sets(
            self.data.rows.training, ratio, folds, seed=self.seed, sampling=self.sampling
        )

    def network_seed(self, ratio: int, fold: int) -> int:
        """The seed of one network."""
        return randomness.derived_seed(self.seed, f"fold at {ratio} percent", fold)

    def network(self, seed: int) -> torch.nn.Module:
        """An untrained network, on the CPU."""
        return models.build(
            self.config.model, shape=self.data.shape, classes=self.data.classes, seed=seed
        )


def _file_name(ratio: int, group: range) -> str:
    return f"ratio-{ratio}-folds-{group[0]:04}-{group[-1]:04}"


def _group_in(path: Path) -> tuple[int, range]:
    _, ratio, _, first, last = path.stem.split("-")
    return int(ratio), range(int(first), int(last) + 1)


def _neighbours(folds: list[int]) -> list[range]:
    """Ascending numbers as ranges of neighbours."""
    starts = [fold for fold in folds if fold - 1 not in folds]
    stops = [fold + 1 for fold in folds if fold + 1 not in folds]
    return [range(start, stop) for start, stop in zip(starts, stops, strict=True)]


def _at(kept: tuple[Path, int], name: str) -> Any:
    path, place = kept
    return read_signal(path, name)[place]
