"""Selections: which rows are kept, why the others are dropped, and their file (`selection.h5`)."""

import json
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from prune_kit.data.class_names import carried_labels
from prune_kit.data.identity import (
    HELD_OUT,
    TRAIN,
    Rows,
    aligned_rows,
    read_rows,
    write_rows,
)
from prune_kit.errors import FileError
from prune_kit.protocol.setup import Setup
from prune_kit.storage import hdf5
from prune_kit.storage.provenance import now, version

REASONS = ("kept", "dropped-easy", "dropped-hard", "dropped-noisy", "dropped-other", "held-out")
KEPT, DROPPED_EASY, DROPPED_HARD, DROPPED_NOISY, DROPPED_OTHER, HELD_OUT_REASON = range(6)
MADE_BY = "prune-kit select"
MUCH_PRUNED = 0.3  # a selection prunes much if it keeps less than this share of the data
FEW_SKIPPED = 0.1  # and it skips few hard examples if it skips less than this share


@dataclass(frozen=True, eq=False, repr=False)
class Selection:
    """A pruned subset of the training rows.

    Parameters
    ----------
    rows
        The N rows of the data set.
    reason
        For every row the index into REASONS of why it is kept or dropped: (N,) uint8.
    rule
        The name of the rule that chose.
    parameters
        The options of the rule.
    column
        The name of the score column that the rule ranks by; "" for none.
    score
        The values of that column, (N,) float32.
    scored_with
        The parameters of that column.
    created
        The time at which the selection was made, ISO 8601.
    """

    rows: Rows
    reason: np.ndarray
    rule: str
    parameters: dict[str, Any]
    column: str = ""
    score: np.ndarray | None = None
    scored_with: dict[str, Any] = field(default_factory=dict)
    created: str = field(default_factory=lambda: now())

    def __repr__(self) -> str:
        return f"Selection({self.describe()})"

    @cached_property
    def index(self) -> Int[np.ndarray, "K"]:
        """The kept rows, ascending."""
        return np.flatnonzero(self.reason == KEPT)

    @cached_property
    def dropped(self) -> Int[np.ndarray, "D"]:
        """The training rows that are not kept, ascending, without rows held out as test."""
        return np.flatnonzero((self.reason != KEPT) & (self.reason != HELD_OUT_REASON))

    @property
    def setup(self) -> Setup | None:
        """How the networks behind its scores were made; None where they come from no network."""
        return Setup.of(self.scored_with)

    @property
    def share(self) -> float:
        """The kept share of the training rows."""
        return len(self.index) / len(self.rows.training)

    @property
    def falls_below_random(self) -> bool:
        """Whether such a selection is known to do worse than a random one of its size.

        That is one of the hard end that keeps less than MUCH_PRUNED of the rows and skips less
        than FEW_SKIPPED of them as too hard (Zheng et al. 2023, https://arxiv.org/abs/2210.15809:
        forgetting on CIFAR-10 reaches 95.4 with 30 % pruned and 34.0 with 90 %).
        """
        count = len(self.rows.training)
        easy, hard = (int((self.reason == reason).sum()) for reason in (DROPPED_EASY, DROPPED_HARD))
        hard_end = easy + hard == len(self.dropped) and hard < FEW_SKIPPED * count
        return bool(self.column) and hard_end and self.parameters.get("keep", 1) < MUCH_PRUNED

    def class_shares(self) -> Float[np.ndarray, "C"]:
        """The kept share of each class's training rows; NaN for a class without training rows."""
        kept = self._per_class(KEPT)
        total = self._per_class()
        shares: np.ndarray = np.divide(
            kept, total, out=np.full(len(total), np.nan), where=total > 0
        )
        return shares

    def _per_class(self, reason: int | None = None) -> Int[np.ndarray, "C"]:
        """The number of training rows of each class, or of those with this reason."""
        counts = self._class_reasons if reason is None else self._class_reasons[:, [reason]]
        total: np.ndarray = counts[:, :HELD_OUT_REASON].sum(axis=1)
        return total

    @cached_property
    def _class_reasons(self) -> Int[np.ndarray, "C Q"]:
        """The number of rows of each class and reason."""
        classes = len(self.rows.class_names)
        pairs = self.rows.label * len(REASONS) + self.reason
        return np.bincount(pairs, minlength=classes * len(REASONS)).reshape(classes, len(REASONS))

    def tied_at_the_edges(self) -> int:
        """The number of training rows with a score at which the window ends.

        Of these the order of digests decides which are kept. 0 for a rule that is not a window,
        and for a window within each class.
        """
        sides = [self.reason == reason for reason in (DROPPED_EASY, DROPPED_HARD)]
        whole = sum(int(side.sum()) for side in sides) == len(self.dropped)
        if (
            self.score is None
            or not whole
            or self.parameters.get("per_class")
            or not len(self.index)
        ):
            return 0
        edges = _ends(self.score[self.index])
        both = {value for side in sides if side.any() for value in edges & _ends(self.score[side])}
        return sum(int((self.score[self.rows.role == TRAIN] == value).sum()) for value in both)

    def thin_classes(self) -> list[str]:
        """The names of the classes that keep some rows, but less than half of the average share."""
        shares = self.class_shares()
        return [
            name
            for name, share in zip(self.rows.class_names, shares, strict=True)
            if 0 < share < self.share / 2
        ]

    def gone_classes(self) -> dict[str, int]:
        """The classes of which no row is kept, each with the number of its training rows.

        Most rows come first. A class without training rows is not among them.
        """
        total, kept = self._per_class(), self._per_class(KEPT)
        gone = [number for number, count in enumerate(kept) if not count and total[number]]
        gone.sort(key=lambda number: -total[number])
        return {self.rows.class_names[number]: int(total[number]) for number in gone}

    def aligned_to(self, rows: Rows) -> "Selection":
        """The same selection over the rows of another copy of the data.

        The copy may hold the examples in another order, a subset of them, or more. Rows are matched
        by content. The labels and the true labels (by the names of their classes) and the held-out
        rows are those of this selection. Examples that it does not know are dropped.

        Parameters
        ----------
        rows
            The rows of the other copy.

        Raises
        ------
        IdentityError
            No example is in common, or a label names a class that `rows` lack.
        """
        source = aligned_rows(self.rows, rows, "the selection", "the data")
        known = source >= 0
        reason = np.where(known, self.reason[source], DROPPED_OTHER).astype(np.uint8)
        role = np.where(reason == HELD_OUT_REASON, HELD_OUT, TRAIN).astype(np.uint8)
        label = rows.label.copy()
        label[known] = self._carried(self.rows.label[source[known]], rows)
        truth = rows.true_label
        if self.rows.true_label is not None:
            truth = (rows.label if truth is None else truth).copy()
            truth[known] = self._carried(self.rows.true_label[source[known]], rows)
        score = (
            None
            if self.score is None
            else np.where(known, self.score[source], np.nan).astype(np.float32)
        )
        options = rows.options | {k: v for k, v in self.rows.options.items() if k == "labels_file"}
        rows = replace(rows, role=role, label=label, true_label=truth, options=options)
        return replace(self, rows=rows, reason=reason, score=score)

    def _carried(self, label: np.ndarray, rows: Rows) -> np.ndarray:
        return carried_labels(label, self.rows.class_names, rows.class_names, "the selection")

    def describe(self) -> str:
        """One line: how many rows are kept, and where the window begins and ends."""
        count = len(self.rows.training)
        text = f"kept {len(self.index):,} of {count:,} training rows ({self.share:.1%})"
        easy, hard = (int((self.reason == reason).sum()) for reason in (DROPPED_EASY, DROPPED_HARD))
        suspect_by = self.parameters.get("suspect_by")
        same_column = suspect_by in (None, self.column)  # that says which examples are hardest
        if not self.column or easy + hard != len(self.dropped) or not same_column:
            return f"{text} by rule {self.rule}"
        low, high = 100 * easy / count, 100 * (count - hard) / count
        where = " within each class" if self.parameters.get("per_class") else ""
        where += ", on average" if where and self._uneven() else ""
        return (
            f"{text}: kept percentiles {low:.1f} to {high:.1f} of {self.column}{where}; "
            f"dropped {_percent(easy / count)} easiest, {_percent(hard / count)} hardest"
        )

    def _uneven(self) -> bool:
        """Whether the classes drop different shares of easy rows, by more than rounding."""
        total = self._per_class()
        easy = self._per_class(DROPPED_EASY)
        return bool((np.abs(easy - easy.sum() / total.sum() * total) > 2).any())

    def write(self, path: str | Path) -> None:
        """Write the selection, as a whole or not at all.

        Parameters
        ----------
        path
            The file to replace.

        Raises
        ------
        FileError
            The file cannot be written.
        """
        attributes = {
            "rule": self.rule,
            "parameters": json.dumps(self.parameters),
            "column": self.column,
            "scored_with": json.dumps(self.scored_with),
            "created": self.created,
            "prune_kit_version": version(),
        }
        with hdf5.writing_hdf5(Path(path), "selection", attributes) as file:
            write_rows(file, self.rows, with_role=False)  # the reason "held-out" says it
            file["index"] = self.index.astype(np.int64)
            file["reason"] = self.reason.astype(np.uint8)
            file["reason"].attrs["legend"] = json.dumps(REASONS)
            if self.score is not None:
                file["score"] = self.score.astype(np.float32)

    @classmethod
    def read(cls, path: str | Path) -> "Selection":
        """Read a selection.

        Parameters
        ----------
        path
            The file to read.

        Raises
        ------
        FileError
            The file is missing or damaged, or it is of another kind or version.
        """
        with hdf5.reading_hdf5(Path(path), "selection", MADE_BY) as file:
            reason = file["reason"][()]
            attributes = file.attrs
            selection = cls(
                rows=read_rows(
                    file, role=np.where(reason == HELD_OUT_REASON, HELD_OUT, TRAIN).astype(np.uint8)
                ),
                reason=reason,
                rule=str(attributes["rule"]),
                parameters=json.loads(attributes["parameters"]),
                column=str(attributes["column"]),
                score=file["score"][()] if "score" in file else None,
                scored_with=json.loads(attributes["scored_with"]),
                created=str(attributes["created"]),
            )
            index = file["index"][()]
        if reason.max(initial=0) >= len(REASONS):
            raise FileError(
                f"{path} is damaged: reason {reason.max()} is none of {', '.join(REASONS)}"
            )
        if not np.array_equal(index, selection.index):
            raise FileError(f"{path} is damaged: its index is not what its reasons say")
        return selection


def _percent(share: float) -> str:
    return f"{100 * share:.1f}".removesuffix(".0") + "%"


def _ends(values: Float[np.ndarray, "n"]) -> set[float]:
    return {float(values.min()), float(values.max())}
