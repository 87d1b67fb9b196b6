"""What a score column holds in a line: its range, its median and its hardest examples, kept in the file beside it.

A table of millions of rows is told by these, so that none of its values is read.
"""

from dataclasses import dataclass

import h5py
import numpy as np

from prune_kit.data.identity import TRAIN, Rows
from prune_kit.errors import FileError

SHOWN_EXAMPLES = 3


@dataclass(frozen=True)
class Summary:
    """Of the training rows that have a score: `easiest`, `median` and `hardest` score, NaN where none has one.

    `examples` (at most 3,) int64 are the rows of the hardest ones, the hardest first.
    """

    easiest: float
    median: float
    hardest: float
    examples: np.ndarray


def summary_of(values: np.ndarray, harder: str, rows: Rows) -> Summary:
    """Sum up the scores `values` (N,) of `rows`, of which "higher" or "lower" ones are `harder`."""
    from prune_kit.results.ranking import last, median

    sign = 1 if harder == "higher" else -1
    hardness = values if sign > 0 else -values
    drawn = (rows.role == TRAIN) & ~np.isnan(hardness)
    theirs = hardness if drawn.all() else hardness[drawn]
    ends = (theirs.min(), median(theirs), theirs.max()) if len(theirs) else (np.nan,) * 3
    easiest, middle, hardest = (sign * float(value) for value in ends)
    return Summary(
        easiest, middle, hardest, last(hardness, rows.digest, drawn, SHOWN_EXAMPLES)[::-1]
    )


def write_summary(dataset: h5py.Dataset, summary: Summary) -> None:
    """Keep it beside the values of its column."""
    dataset.attrs["summary"] = np.array([summary.easiest, summary.median, summary.hardest])
    dataset.attrs["hardest_rows"] = summary.examples.astype(np.int64)


def read_summary(dataset: h5py.Dataset) -> Summary | None:
    """What `write_summary` kept; None where an earlier version wrote the file. Raises FileError for impossible rows."""
    if "summary" not in dataset.attrs:
        return None
    values, rows = (
        np.asarray(dataset.attrs["summary"]),
        np.asarray(dataset.attrs.get("hardest_rows")),
    )
    in_shape = (
        values.shape == (3,)
        and values.dtype == np.float64
        and rows.ndim == 1
        and rows.dtype == np.int64
    )
    if not in_shape or not ((rows >= 0) & (rows < dataset.shape[0])).all():
        raise FileError(
            f"{dataset.file.filename} is damaged: the summary of {dataset.name} is none of "
            f"{dataset.shape}"
        )
    easiest, middle, hardest = values.tolist()
    return Summary(easiest, middle, hardest, rows)
