"""Outcomes of retraining: accuracies over seeds, how they compare, and their file (`outcomes.h5`)."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from prune_kit.data.identity import index_digest
from prune_kit.storage import hdf5
from prune_kit.storage.provenance import now, version

FULL = "full"
CONFIDENCE = 0.95
SAME = 1e-12  # differences of accuracies that are closer are the same, but for rounding
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
# of a sweep the first four; of a search epochs, and in the cell found the rest
CELL: dict[str, tuple[type, ...]] = {
    "rule": (str,), "by": (str,), "keep": (int, float), "offset": (int, float),
    "epochs": (int,), "found": (bool,), "goal": (str,), "met": (bool,), "grid": (dict,),
    "validation": (int, float),
}  # fmt: skip


def random_name(kept: int) -> str:
    """The name of the random baseline that keeps `kept` rows."""
    return f"random-{kept}"


def is_baseline(name: str) -> bool:
    """Whether a name is one of the baselines' own, which no selection may have."""
    return name == FULL or (name.startswith("random-") and name.removeprefix("random-").isdigit())


@dataclass(frozen=True)
class Outcome:
    """One retraining: which selection and seed, rows kept, the last epoch's test accuracy in [0, 1], what it took."""

    selection: str
    seed: int
    kept: int
    test_accuracy: float
    steps: int
    epochs: float
    seconds: float
    config: str


@dataclass(frozen=True)
class Difference:
    """A mean difference of accuracies, paired by seed, with its 95% interval over the seeds.

    The interval is NaN where the seeds say nothing of the spread: there is one, or all differ by
    the same amount.
    """

    mean: float
    low: float
    high: float
    seeds: int

    @property
    def without_interval(self) -> str:
        """Why there is no interval, in words; "" where there is one."""
        return (
            ""
            if not math.isnan(self.low)
            else "by one seed"
            if self.seeds == 1
            else "the same for every seed"
        )

    @property
    def verdict(self) -> str:
        """ "above" or "below" when the interval leaves zero out, else "not distinguishable"."""
        return "above" if self.low > 0 else "below" if self.high < 0 else "not distinguishable"


@dataclass(frozen=True)
class OutcomeSummary:
    """One line of the table: mean accuracy over seeds, its 16th and 84th percentile, and the paired differences."""

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
    """All retrainings of one data set. `fingerprint` and `data` say which.

    `cells`, of a sweep, are by name what each selection was made with: rule, by, keep, offset.
    """

    rows: tuple[Outcome, ...]
    fingerprint: str
    data: str
    created: str = field(default_factory=lambda: now())
    cells: dict[str, dict[str, Any]] = field(default_factory=dict)

    def trained_on(self, name: str, index: np.ndarray) -> bool | None:
        """Whether the selection of that name kept these rows when it was retrained.

        None where it was not retrained, or by an earlier version, which did not say.
        """
        told = [json.loads(row.config).get("rows") for row in self.rows if row.selection == name]
        return None if not told or None in told else set(told) == {index_digest(index)}

    def accuracies(self, name: str) -> dict[int, float]:
        """Test accuracy by seed."""
        return {row.seed: row.test_accuracy for row in self.rows if row.selection == name}

    def summaries(self) -> list[OutcomeSummary]:
        """One summary for each selection and baseline, in the order they were trained."""
        kept = {row.selection: row.kept for row in self.rows}
        return [self._summary(name, count) for name, count in kept.items()]

    def _summary(self, name: str, kept: int) -> OutcomeSummary:
        values = np.array(list(self.accuracies(name).values()))
        low, high = np.percentile(values, (16, 84))
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
        """How much more accurate `name` is than `other`, over the seeds that both have; None if they share none."""
        ours, theirs = self.accuracies(name), self.accuracies(other)
        seeds = [seed for seed in ours if seed in theirs]
        return paired_difference(np.array([ours[s] - theirs[s] for s in seeds])) if seeds else None

    def write(self, path: str | Path) -> None:
        """Write the outcomes, whole or not at all. Raises FileError."""
        attributes = {
            "fingerprint": self.fingerprint,
            "data": self.data,
            "created": self.created,
            "prune_kit_version": version(),
        }
        with hdf5.writing_hdf5(Path(path), "outcomes", attributes) as file:
            if self.cells:  # a data set: an attribute holds no more than 64 KiB
                hdf5.write_text_dataset(file, "cells", hdf5.text_array([json.dumps(self.cells)]))
            for name, kind in COLUMNS.items():
                values = [getattr(row, name) for row in self.rows]
                if kind is np.str_:
                    hdf5.write_text_dataset(file, name, hdf5.text_array(values))
                else:
                    file[name] = np.array(values, dtype=kind)

    @classmethod
    def read(cls, path: str | Path) -> "Outcomes":
        """Read outcomes. Raises FileError when the file is absent, damaged, of another kind or version."""
        with hdf5.reading_hdf5(Path(path), "outcomes", MADE_BY) as file:
            columns = {
                name: file[name].asstr()[()] if kind is np.str_ else file[name][()]
                for name, kind in COLUMNS.items()
            }
            rows = [
                Outcome(**dict(zip(columns, values, strict=True)))
                for values in zip(*_lists(columns), strict=True)
            ]
            cells = _checked_cells(json.loads(file["cells"].asstr()[0])) if "cells" in file else {}
            if not cells.keys() <= {row.selection for row in rows}:
                raise ValueError("a cell was not trained")
            fingerprint, data, created = (
                str(file.attrs[name]) for name in ("fingerprint", "data", "created")
            )
            return cls(tuple(rows), fingerprint, data, created, cells)


def paired_difference(differences: np.ndarray) -> Difference:
    """Mean and 95% interval (Student's t) of differences (R,), one per seed; see `Difference` for what has none."""
    from scipy import stats

    count = len(differences)
    mean = float(differences.mean())
    if count < 2 or np.ptp(differences) < SAME:
        return Difference(mean, math.nan, math.nan, count)
    interval = stats.ttest_1samp(differences, 0).confidence_interval(CONFIDENCE)
    return Difference(mean, float(interval.low), float(interval.high), count)


def _checked_cells(cells: Any) -> dict[str, dict[str, Any]]:
    """Cells of a sweep or a search as JSON gave them. Raises ValueError for what could not be one."""
    if not isinstance(cells, dict) or not all(isinstance(cell, dict) for cell in cells.values()):
        raise ValueError("cells are no objects by name")
    for cell in cells.values():
        lacking = {"rule", "by", "keep", "offset"} - cell.keys()
        wrong = [
            key
            for key, value in cell.items()
            if key not in CELL or not isinstance(value, CELL[key])
        ]
        if lacking or wrong:
            raise ValueError(f"a cell lacks {sorted(lacking)}, or does not fit in {wrong}")
        grid = cell.get("grid", {})
        if not all(
            isinstance(grid.get(axis), list) for axis in ("rule", "by", "keep", "offset") if grid
        ):
            raise ValueError("a grid has no list for each axis")
    if len({"epochs" in cell for cell in cells.values()}) > 1:
        raise ValueError("some cells are of a search, and some are not")
    return cells


def _lists(columns: dict[str, np.ndarray]) -> list[list[object]]:
    return [values.tolist() for values in columns.values()]
