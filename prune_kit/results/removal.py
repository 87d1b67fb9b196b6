"""Removals: rows whose labels look wrong, with better ones (`removal.h5`, `removal.csv`)."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import Bool, Float, Int

from prune_kit.checks import check_kind
from prune_kit.data.class_names import class_numbers
from prune_kit.data.identity import (
    HELD_OUT,
    TRAIN,
    Rows,
    aligned_rows,
    read_rows,
    write_rows,
)
from prune_kit.errors import FileError, OptionError
from prune_kit.protocol.setup import Setup
from prune_kit.results.selection import DROPPED_NOISY, HELD_OUT_REASON, KEPT, Selection
from prune_kit.storage import files, hdf5
from prune_kit.storage.csv_files import csv_text
from prune_kit.storage.provenance import now, version

NO_SUGGESTION = -1
CLEANED = "clean"  # the rule of the selection that a removal stands for
KNOWN_SHARE = "remove"  # the cut method of a list whose length the user chose
CSV_COLUMNS = (
    "id",
    "index",
    "given_label",
    "suggested_label",
    "suspicion",
    "given_class",
    "suggested_class",
    "fit",
)
FITS = {True: "another class is clearly better", False: "no class fits"}
MADE_BY = "prune-kit clean"
ESTIMATES = (
    "noise_rate",
    "noise_rate_low",
    "noise_rate_high",
    "precision",
    "precision_low",
    "recall",
)


@dataclass(frozen=True, eq=False, repr=False)
class Removal:
    """The M rows whose labels are suspected, most suspect first.

    Parameters
    ----------
    rows
        The N rows of the data set.
    index
        The listed rows, (M,) int64.
    suspicion
        How suspect their labels are, (M,) float32 in [0, 1], descending.
    suggested_label
        Another class for each, (M,) int64; NO_SUGGESTION if nothing is known of other classes.
    clear
        Whether the suggested class has more than half of the probability that the given label
        leaves to the others: (M,) bool.
    cut_method
        How the length of the list was found.
    column
        The name of the score column that the list was made from.
    noise_rate
        The estimated share of wrong labels among the training rows; NaN if it is unknown. So for
        the fields that follow.
    noise_rate_low, noise_rate_high
        The ends of its 90 % interval.
    precision, recall
        The expected precision and recall of the list.
    precision_low
        The precision if only `noise_rate_low` of the labels are wrong.
    parameters
        The options that the list was made with.
    scored_with
        The parameters of the score column.
    created
        The time at which the list was made, ISO 8601.
    """

    rows: Rows
    index: Int[np.ndarray, "M"]
    suspicion: Float[np.ndarray, "M"]
    suggested_label: Int[np.ndarray, "M"]
    clear: Bool[np.ndarray, "M"]
    cut_method: str
    column: str
    noise_rate: float = math.nan
    noise_rate_low: float = math.nan
    noise_rate_high: float = math.nan
    precision: float = math.nan
    precision_low: float = math.nan
    recall: float = math.nan
    parameters: dict[str, Any] = field(default_factory=dict)
    scored_with: dict[str, Any] = field(default_factory=dict)
    created: str = field(default_factory=lambda: now())

    def __repr__(self) -> str:
        return f"Removal({len(self.index):,} of {self.rows!r})"

    @property
    def cut(self) -> float:
        """The least suspicion on the list; NaN for an empty list."""
        # float32, as in the file
        return float(np.float32(self.suspicion[-1])) if len(self.suspicion) else math.nan

    @property
    def setup(self) -> Setup | None:
        """How the networks behind its scores were made; None where they come from no network."""
        return Setup.of(self.scored_with)

    @property
    def label(self) -> Int[np.ndarray, "M"]:
        """The given labels of the listed rows."""
        given: np.ndarray = self.rows.label[self.index]
        return given

    @cached_property
    def selection(self) -> Selection:
        """The cleaned data: every training row that is not on the list."""
        reason = np.full(len(self.rows), KEPT, dtype=np.uint8)
        reason[self.rows.role == HELD_OUT] = HELD_OUT_REASON
        reason[self.index] = DROPPED_NOISY
        return Selection(
            rows=self.rows,
            reason=reason,
            rule=CLEANED,
            parameters={**self.parameters, "cut_method": self.cut_method, "cut": self.cut},
            column=self.column,
            scored_with=self.scored_with,
            created=self.created,
        )

    def relabelled(self) -> Int[np.ndarray, "N"]:
        """The labels of all rows, with clear suggestions in the place of the given labels."""
        label = self.rows.label.copy()
        label[self.index[self.clear]] = self.suggested_label[self.clear]
        return label

    def class_losses(self) -> Float[np.ndarray, "C"]:
        """The listed share of each class's training rows; NaN for a class without training rows."""
        losses: np.ndarray = 1 - self.selection.class_shares()
        return losses

    def confusions(self) -> list[tuple[int, int, int]]:
        """The pairs (given label, suggested label) of clear suggestions, with their counts.

        The most frequent pair is the first.
        """
        rows = np.stack([self.label[self.clear], self.suggested_label[self.clear]], axis=1)
        pairs, counts = np.unique(rows, axis=0, return_counts=True)
        order = np.lexsort((pairs[:, 1], pairs[:, 0], -counts))  # the last key counts first
        return [(int(pairs[i, 0]), int(pairs[i, 1]), int(counts[i])) for i in order]

    def aligned_to(self, rows: Rows) -> "Removal":
        """The same list over the rows of another copy of the data.

        See `Selection.aligned_to`, with three differences. Examples that this removal does not know
        are not listed, so its complement keeps them. A suggested class that `rows` lack becomes
        NO_SUGGESTION. If the examples are not the same, the estimates (`noise_rate`, `precision`,
        `recall`) are NaN.

        Parameters
        ----------
        rows
            The rows of the other copy.

        Raises
        ------
        IdentityError
            No example is in common, or a label names a class that `rows` lack.
        """
        # the last place is for unknown rows, whose source is -1
        place = np.full(len(self.rows) + 1, -1)
        place[self.index] = np.arange(len(self.index))
        source = aligned_rows(self.rows, rows, "the removal", "the data")
        listed = np.flatnonzero(place[source] >= 0)
        listed = listed[np.argsort(place[source[listed]])]
        former = place[source[listed]]
        numbers = class_numbers(self.rows.class_names, rows.class_names)
        suggested = numbers[self.suggested_label[former]]
        suggested[self.suggested_label[former] == NO_SUGGESTION] = NO_SUGGESTION
        aligned = replace(
            self,
            rows=self.selection.aligned_to(rows).rows,
            index=listed,
            suspicion=self.suspicion[former],
            suggested_label=suggested,
            clear=self.clear[former] & (suggested != NO_SUGGESTION),
        )
        if len(rows) == len(self.rows) and (source >= 0).all():
            return aligned
        unknown: dict[str, Any] = dict.fromkeys(ESTIMATES, math.nan)
        return replace(aligned, **unknown)

    def write(self, path: str | Path) -> None:
        """Write the removal, and the same list as CSV beside it, each as a whole or not at all.

        Parameters
        ----------
        path
            The HDF5 file to replace, such as removal.h5. The CSV file is then removal.csv.

        Raises
        ------
        FileError
            A file cannot be written.
        OptionError
            The path ends in .csv, so that the two files would be one.
        """
        path = Path(path)
        csv_file = csv_path(path)
        attributes = {
            "cut": self.cut,
            "cut_method": self.cut_method,
            **{name: getattr(self, name) for name in ESTIMATES},
            "column": self.column,
            "parameters": json.dumps(self.parameters),
            "scored_with": json.dumps(self.scored_with),
            "created": self.created,
            "prune_kit_version": version(),
        }
        with hdf5.writing_hdf5(path, "removal", attributes) as file:
            write_rows(file, self.rows)
            file["index"] = self.index.astype(np.int64)
            file["suspicion"] = self.suspicion.astype(np.float32)
            file["suggested_label"] = self.suggested_label.astype(np.int64)
            file["clear"] = self.clear
        files.write_bytes(csv_file, self._csv().encode())

    def _csv(self) -> str:
        names = self.rows.class_names
        lines: list[Sequence[object]] = [CSV_COLUMNS]
        for place, row in enumerate(self.index.tolist()):
            given, suggested = int(self.rows.label[row]), int(self.suggested_label[place])
            known = suggested != NO_SUGGESTION
            lines.append(
                (
                    self.rows.id[row].decode("utf-8"),
                    row,
                    given,
                    suggested if known else "",
                    f"{self.suspicion[place]:.6f}",
                    names[given],
                    names[suggested] if known else "",
                    FITS[bool(self.clear[place])] if known else "",
                )
            )
        return csv_text(lines)

    @classmethod
    def read(cls, path: str | Path) -> "Removal":
        """Read a removal.

        Parameters
        ----------
        path
            The file to read.

        Raises
        ------
        FileError
            The file is missing or damaged, or it is of another kind or version.
        """
        with hdf5.reading_hdf5(Path(path), "removal", MADE_BY) as file:
            rows = read_rows(file)
            fields: dict[str, Any] = _read_list(file, rows)
            fields |= {name: float(file.attrs[name]) for name in ESTIMATES}
            fields |= {name: str(file.attrs[name]) for name in ("cut_method", "column", "created")}
            fields |= {name: json.loads(file.attrs[name]) for name in ("parameters", "scored_with")}
            return cls(rows=rows, **fields)


def as_selection(chosen: Selection | Removal) -> Selection:
    """The selection itself, or the complement of a removal."""
    if isinstance(chosen, Removal):
        return chosen.selection
    check_kind(chosen, Selection, "selection", "select")
    return chosen


def csv_path(path: Path) -> Path:
    """The path of the CSV file beside a removal file, with the same name.

    Raises
    ------
    OptionError
        The path itself ends in .csv.
    """
    if path.suffix == ".csv":
        raise OptionError(
            f"{path} is where the list goes as CSV; name the HDF5 file, such as removal.h5"
        )
    return path.with_suffix(".csv")


def _read_list(file: h5py.File, rows: Rows) -> dict[str, Any]:
    """The arrays of the list. Raises FileError unless they are as `Removal` describes them."""
    expected = {
        "index": np.int64,
        "suspicion": np.float32,
        "suggested_label": np.int64,
        "clear": np.bool_,
    }
    arrays = {name: np.asarray(file[name][()]) for name in expected}
    index, suspicion, suggested, clear = arrays.values()
    for name, array in arrays.items():
        if array.dtype != expected[name] or array.shape != (index.size,):
            raise FileError(
                f"{file.filename} is damaged: {name} is {array.dtype} {array.shape}; "
                f"expected {np.dtype(expected[name])} ({index.size},), one per listed row"
            )
    training = ((index >= 0) & (index < len(rows))).all() and (rows.role[index] == TRAIN).all()
    if not training or len(np.unique(index)) < len(index):
        raise FileError(
            f"{file.filename} is damaged: its index is not a list of training rows, each once"
        )
    if not ((suspicion >= 0) & (suspicion <= 1)).all() or (np.diff(suspicion) > 0).any():
        raise FileError(
            f"{file.filename} is damaged: its suspicion does not fall from 1 to 0 along the list"
        )
    known = suggested != NO_SUGGESTION
    another = (
        (suggested >= 0) & (suggested < len(rows.class_names)) & (suggested != rows.label[index])
    )
    if not (another | ~known).all() or (clear & ~known).any():
        raise FileError(
            f"{file.filename} is damaged: a suggested label in it is not another class of the data"
        )
    return arrays
