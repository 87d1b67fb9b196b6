"""Selections: which rows stay and why the others went, and their file (`selection.h5`)."""

import json
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from prune_kit.data.identity import (
    HELD_OUT,
    TRAIN,
    Rows,
    aligned_rows,
    carried_labels,
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
MUCH_PRUNED, FEW_SKIPPED = (
    0.3,
    0.1,
)  # shares: what keeps less of the data, and skips less of its hard end


@dataclass(frozen=True, eq=False, repr=False)
class Selection:
    """A pruned subset of the training rows.

    `reason` (N,) uint8 is a number into REASONS for every row of the source. `column` is the score
    column that `rule` ranks by, "" for none, `score` (N,) float32 its values, `scored_with` its
    parameters.
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
        """The row numbers of the source that are kept, ascending."""
        return np.flatnonzero(self.reason == KEPT)

    @cached_property
    def dropped(self) -> Int[np.ndarray, "D"]:
        """The training rows that are not kept, ascending. Rows held out as test are in neither list."""
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
        """Whether so little is kept, of the hard end, that rules are known to do worse than chance there.

        Above 70 % pruned (Zheng et al. 2023, https://arxiv.org/abs/2210.15809: forgetting on
        CIFAR-10 95.4 at 30 % pruned, 34.0 at 90 %) unless a tenth of the rows, the hardest, is
        skipped.
        """
        count = len(self.rows.training)
        easy, hard = (int((self.reason == reason).sum()) for reason in (DROPPED_EASY, DROPPED_HARD))
        hard_end = easy + hard == len(self.dropped) and hard < FEW_SKIPPED * count
        return bool(self.column) and hard_end and self.parameters.get("keep", 1) < MUCH_PRUNED

    def class_shares(self) -> Float[np.ndarray, "C"]:
        """The share of each class's training rows that is kept; NaN for a class without any."""
        kept, there = self._per_class(KEPT), self._per_class()
        shares: np.ndarray = np.divide(
            kept, there, out=np.full(len(there), np.nan), where=there > 0
        )
        return shares

    def _per_class(self, reason: int | None = None) -> Int[np.ndarray, "C"]:
        """The number of training rows of each class, or of those with this reason."""
        counts = self._class_reasons if reason is None else self._class_reasons[:, [reason]]
        total: np.ndarray = counts[:, :HELD_OUT_REASON].sum(axis=1)
        return total

    @cached_property
    def _class_reasons(self) -> Int[np.ndarray, "C Q"]:
        """How many rows of each class have each reason."""
        classes = len(self.rows.class_names)
        pairs = self.rows.label * len(REASONS) + self.reason
        return np.bincount(pairs, minlength=classes * len(REASONS)).reshape(classes, len(REASONS))

    def tied_at_the_edges(self) -> int:
        """How many training rows have the score at which a window was cut, so that not the score decided.

        0 for a rule that is no window, and within classes.
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
        """The classes that keep less than half of the average share."""
        shares = self.class_shares()
        return [
            name
            for name, share in zip(self.rows.class_names, shares, strict=True)
            if share < self.share / 2
        ]

    def aligned_to(self, rows: Rows) -> "Selection":
        """The same choice over `rows`, which hold the same examples in another order, more of them, or fewer.

        Rows are matched by content. Labels (the true ones too, by the names of their classes) and
        the held-out part are carried over; examples that this selection does not know are not kept.
        Raises IdentityError when nothing is in common, or a label names a class that `rows` lack.
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
        """One line: what is kept, and the window both ways."""
        count = len(self.rows.training)
        text = f"kept {len(self.index):,} of {count:,} training rows ({self.share:.1%})"
        easy, hard = (int((self.reason == reason).sum()) for reason in (DROPPED_EASY, DROPPED_HARD))
        own = self.parameters.get("suspect_by") in (
            None,
            self.column,
        )  # else the hardest are those of another column
        if not self.column or easy + hard != len(self.dropped) or not own:
            return f"{text} by rule {self.rule}"
        low, high = 100 * easy / count, 100 * (count - hard) / count
        where = " within each class" if self.parameters.get("per_class") else ""
        where += ", on average" if where and self._uneven() else ""
        return (
            f"{text}: kept percentiles {low:.1f} to {high:.1f} of {self.column}{where}; "
            f"dropped {_percent(easy / count)} easiest, {_percent(hard / count)} hardest"
        )

    def _uneven(self) -> bool:
        """Whether the classes drop other shares of easy rows, by more than rounding."""
        there, easy = self._per_class(), self._per_class(DROPPED_EASY)
        return bool((np.abs(easy - easy.sum() / there.sum() * there) > 2).any())

    def write(self, path: str | Path) -> None:
        """Write the selection, whole or not at all. Raises FileError."""
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
        """Read a selection. Raises FileError when the file is absent, damaged, of another kind or version."""
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
