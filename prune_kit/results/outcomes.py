"""Outcomes of retraining: accuracies over seeds, their differences, and the file `outcomes.h5`."""

import json
import math
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from prune_kit.data.identity import index_digest
from prune_kit.protocol.setup import Setup
from prune_kit.results.cells import checked_cells
from prune_kit.storage import hdf5
from prune_kit.storage.provenance import now, version

FULL = "full"
RANDOM = "random"
CONFIDENCE = 0.95  # of the interval of a mean difference
FEWEST_SEEDS = 3  # with fewer, nothing is claimed
WIDEST = 0.05  # half the width of an interval around zero that still says something
PERCENTILES = (16, 84)  # of the accuracies over seeds: one deviation to each side of a normal mean
SAME = 1e-12  # differences of accuracies that are closer than this differ by rounding only
COLUMNS = {
    "selection": np.str_,
    "seed": np.int64,
    "kept": np.int64,
    "test_accuracy": np.float64,
    "steps": np.int64,
    "epochs": np.float64,
    "seconds": np.float64,
    "config": np.str_,
}
MADE_BY = "prune-kit retrain"


def random_name(kept: int) -> str:
    """The name of the random baseline that keeps this number of rows."""
    return f"{RANDOM}-{kept}"


def is_baseline(name: str) -> bool:
    """Whether a name is that of a baseline. A selection cannot have such a name."""
    return name == FULL or bool(re.fullmatch(rf"{RANDOM}-\d+", name))


@dataclass(frozen=True)
class Outcome:
    """One retraining.

    Parameters
    ----------
    selection
        The name of the selection or baseline.
    seed
        The seed of the network.
    kept
        The number of rows that it was trained on.
    test_accuracy
        The accuracy on the test set after the last epoch, in [0, 1].
    steps, epochs, seconds
        The length of the training.
    config
        JSON: how the network was made (`Setup.values`), the `budget` of the retraining, and a
        digest of the `rows` trained on. Files of version 0.1.0 hold the fields of the protocol
        beside the others.
    """

    selection: str
    seed: int
    kept: int
    test_accuracy: float
    steps: int
    epochs: float
    seconds: float
    config: str

    @property
    def setup(self) -> Setup | None:
        """How the network was made; None where an older file does not say."""
        return Setup.of(self._config)

    @property
    def budget(self) -> str | None:
        """What all sets had the same number of, "steps" or "epochs"; None in an older file."""
        return self._config.get("budget")

    @property
    def rows(self) -> str | None:
        """The digest of the row numbers trained on; None where an older file does not say."""
        return self._config.get("rows")

    @cached_property
    def _config(self) -> dict[str, Any]:
        config = json.loads(self.config)
        return config if isinstance(config, dict) else {}


@dataclass(frozen=True)
class Difference:
    """A mean difference of accuracies, paired by seed, with its 95 % interval over the seeds.

    Parameters
    ----------
    mean
        The mean difference, in [-1, 1].
    low, high
        The ends of the interval. NaN if the spread is unknown: there is one seed, or the
        difference is the same for every seed.
    seeds
        The number of seeds.
    """

    mean: float
    low: float
    high: float
    seeds: int

    @property
    def without_interval(self) -> str:
        """The reason why there is no interval, in words; "" if there is one."""
        if not math.isnan(self.low):
            return ""
        return "by one seed" if self.seeds == 1 else "the same for every seed"

    @property
    def verdict(self) -> str:
        """ "above", "below", "not distinguishable" (from zero), or "too few seeds" to say which.

        It is "above" or "below" if the interval does not hold zero. Seeds are too few below
        FEWEST_SEEDS, and where the interval holds zero and is wider than WIDEST to each side.
        """
        wide = self.low <= 0 <= self.high and self.high - self.low > 2 * WIDEST
        if self.seeds < FEWEST_SEEDS or wide:
            return "too few seeds"
        if self.low > 0:
            return "above"
        return "below" if self.high < 0 else "not distinguishable"


@dataclass(frozen=True)
class OutcomeSummary:
    """One line of the table of outcomes.

    Parameters
    ----------
    name
        The name of the selection or baseline.
    kept
        The number of rows that it keeps.
    seeds
        The number of seeds.
    mean
        The mean test accuracy over the seeds, in [0, 1].
    low, high
        The 16th and the 84th percentile of the test accuracy.
    minus_full, minus_random
        The paired differences from all data and from random rows of the same number; None for
        these baselines themselves, and where no seed is in common.
    """

    name: str
    kept: int
    seeds: int
    mean: float
    low: float
    high: float
    minus_full: Difference | None
    minus_random: Difference | None


@dataclass(frozen=True, eq=False)
class Outcomes:
    """All retrainings of one data set.

    Parameters
    ----------
    rows
        The retrainings, in the order in which they were trained.
    fingerprint, data
        The fingerprint and the specification of the data set.
    created
        The time at which the outcomes were made, ISO 8601.
    cells
        For a sweep or a search, the options of each selection by its name.
    """

    rows: tuple[Outcome, ...]
    fingerprint: str
    data: str
    created: str = field(default_factory=lambda: now())
    cells: dict[str, dict[str, Any]] = field(default_factory=dict)

    def trained_on(self, name: str, index: np.ndarray) -> bool | None:
        """Whether the selection of this name kept these rows when it was retrained.

        None if it was not retrained, or if an earlier version did not record the rows.

        Parameters
        ----------
        name, index
            The name of the selection, and the rows that it keeps: (K,), ascending.
        """
        trained = [row.rows for row in self.rows if row.selection == name]
        if not trained or None in trained:
            return None
        return set(trained) == {index_digest(index)}

    @property
    def latest(self) -> Outcome | None:
        """The last row, which in a search is of a training in full length; None without rows."""
        return self.rows[-1] if self.rows else None

    def accuracies(self, name: str) -> dict[int, float]:
        """The test accuracies of a selection by seed.

        Parameters
        ----------
        name
            The name of a selection or a baseline. Of one that was not trained there are none.
        """
        return {row.seed: row.test_accuracy for row in self.rows if row.selection == name}

    def summaries(self) -> list[OutcomeSummary]:
        """The summary of each selection and baseline, in the order in which they were trained."""
        kept = {row.selection: row.kept for row in self.rows}
        return [self._summary(name, count) for name, count in kept.items()]

    def _summary(self, name: str, kept: int) -> OutcomeSummary:
        values = np.array(list(self.accuracies(name).values()))
        low, high = np.percentile(values, PERCENTILES)
        random = random_name(kept)
        return OutcomeSummary(
            name=name,
            kept=kept,
            seeds=len(values),
            mean=float(values.mean()),
            low=float(low),
            high=float(high),
            minus_full=self.difference(name, FULL) if name != FULL else None,
            minus_random=self.difference(name, random) if name not in (FULL, random) else None,
        )

    def difference(self, name: str, other: str) -> Difference | None:
        """The accuracy of `name` minus that of `other`, over the seeds that both have.

        None if they have no seed in common.

        Parameters
        ----------
        name, other
            The names of two selections or baselines.
        """
        ours, theirs = self.accuracies(name), self.accuracies(other)
        seeds = [seed for seed in ours if seed in theirs]
        return paired_difference(np.array([ours[s] - theirs[s] for s in seeds])) if seeds else None

    def write(self, path: str | Path) -> None:
        """Write the outcomes, as a whole or not at all. Raises FileError.

        Parameters
        ----------
        path
            The file to replace.
        """
        attributes = {
            "fingerprint": self.fingerprint,
            "data": self.data,
            "created": self.created,
            "prune_kit_version": version(),
        }
        with hdf5.writing_hdf5(Path(path), "outcomes", attributes) as file:
            if self.cells:  # a data set, because an attribute holds at most 64 KiB
                hdf5.write_text_dataset(file, "cells", hdf5.text_array([json.dumps(self.cells)]))
            for name, kind in COLUMNS.items():
                values = [getattr(row, name) for row in self.rows]
                if kind is np.str_:
                    hdf5.write_text_dataset(file, name, hdf5.text_array(values))
                else:
                    file[name] = np.array(values, dtype=kind)

    @classmethod
    def read(cls, path: str | Path) -> "Outcomes":
        """Read outcomes.

        Parameters
        ----------
        path
            The file to read.

        Raises
        ------
        FileError
            The file is missing or damaged, or it is of another kind or version.
        """
        with hdf5.reading_hdf5(Path(path), "outcomes", MADE_BY) as file:
            columns = {
                name: file[name].asstr()[()] if kind is np.str_ else file[name][()]
                for name, kind in COLUMNS.items()
            }
            rows = [
                Outcome(**dict(zip(columns, values, strict=True)))
                for values in zip(*_lists(columns), strict=True)
            ]
            cells = checked_cells(json.loads(file["cells"].asstr()[0])) if "cells" in file else {}
            if not cells.keys() <= {row.selection for row in rows}:
                raise ValueError("a cell was not trained")
            fingerprint, data, created = (
                str(file.attrs[name]) for name in ("fingerprint", "data", "created")
            )
            return cls(tuple(rows), fingerprint, data, created, cells)


def paired_difference(differences: np.ndarray) -> Difference:
    """The mean of differences (R,), one a seed, and its 95 % interval by Student's t."""
    from scipy import stats

    count = len(differences)
    mean = float(differences.mean())
    if count < 2 or np.ptp(differences) < SAME:
        return Difference(mean, math.nan, math.nan, count)
    interval = stats.ttest_1samp(differences, 0).confidence_interval(CONFIDENCE)
    return Difference(mean, float(interval.low), float(interval.high), count)


def _lists(columns: dict[str, np.ndarray]) -> list[list[object]]:
    return [values.tolist() for values in columns.values()]
