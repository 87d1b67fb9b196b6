"""Small score tables, selections and removals, made on the spot."""

import numpy as np

from prune_kit.data.identity import Rows
from prune_kit.results.column import ScoreColumn
from prune_kit.results.removal import Removal
from prune_kit.results.selection import KEPT, Selection
from prune_kit.results.table import ScoreTable
from prune_kit.storage.hdf5 import text_array


def rows_of(label, *, digest=None, role=None, ids=None, class_names=None, **fields):
    """Rows under these labels; digests that differ and follow no order unless they are given."""
    label = np.asarray(label, dtype=np.int64)
    n = len(label)
    scattered = np.random.default_rng(n).permutation(n) + 1000
    return Rows(
        id=text_array([f"train/{row}" for row in range(n)] if ids is None else ids),
        digest=np.asarray(scattered if digest is None else digest, dtype=np.uint64),
        label=label,
        role=np.zeros(n, np.uint8) if role is None else np.asarray(role, dtype=np.uint8),
        class_names=class_names
        or tuple(f"class {number}" for number in range(int(label.max(initial=0)) + 1)),
        data=fields.pop("data", "npz:/data/mine.npz"),
        **fields,
    )


def column_of(values, *, name="el2n@20", harder="higher", **fields):
    """A column with these values."""
    method = name.partition("@")[0]
    return ScoreColumn(
        name=name,
        values=np.asarray(values, dtype=np.float32),
        method=method,
        harder=harder,
        **fields,
    )


def table_of(values, *, name="el2n@20", harder="higher", label=None, **rows):
    """A table with one column of these values, of one class unless labels are given."""
    rows = rows_of(np.zeros(len(values), np.int64) if label is None else label, **rows)
    return ScoreTable(rows, {name: column_of(values, name=name, harder=harder)})


def selection_of(reason, *, label=None, rows=None, **fields):
    """A selection with these reasons, by a window over el2n@20 unless said otherwise."""
    reason = np.asarray(reason, dtype=np.uint8)
    rows = rows or rows_of(np.zeros(len(reason), np.int64) if label is None else label)
    return Selection(
        rows=rows,
        reason=reason,
        rule=fields.pop("rule", "window"),
        parameters=fields.pop("parameters", {"keep": 0.5}),
        column=fields.pop("column", "el2n@20"),
        **fields,
    )


def removal_of(index, suggested, *, clear=None, suspicion=None, label=None, rows=None, **fields):
    """A removal of these rows, in this order.

    Suggestions are clear, but for -1, unless said otherwise.
    """
    suggested = np.asarray(suggested, dtype=np.int64)
    if suspicion is None:
        suspicion = np.linspace(1, 0.5, len(suggested))
    return Removal(
        rows=rows or rows_of(label),
        index=np.asarray(index, dtype=np.int64),
        suspicion=np.asarray(suspicion, dtype=np.float32),
        suggested_label=suggested,
        clear=np.asarray(suggested >= 0 if clear is None else clear, dtype=bool),
        cut_method=fields.pop("cut_method", "probes"),
        column=fields.pop("column", "cumulative_pl@20"),
        **fields,
    )


def kept_of(reason):
    """The rows that these reasons keep, one by one."""
    return [row for row, number in enumerate(reason) if number == KEPT]
