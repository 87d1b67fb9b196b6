"""A score column in one line: its range, its median and its hardest examples.

The file keeps this line with the column. So a table of millions of rows is shown without reading
its values.
"""

from dataclasses import dataclass

import h5py
import numpy as np

from prune_kit.data.identity import TRAIN, Rows
from prune_kit.errors import FileError

SHOWN_EXAMPLES = 3


@dataclass(frozen=True)
class ColumnSummary:
    """The scores of the training rows that have one.

    Parameters
    ----------
    easiest, median, hardest
        Scores; NaN if no training row has one.
    examples
        The rows of the hardest examples, hardest first: (at most SHOWN_EXAMPLES,) int64.
    """

    easiest: float
    median: float
    hardest: float
    examples: np.ndarray


def summary_of(values: np.ndarray, harder: str, rows: Rows) -> ColumnSummary:
    """Sum up a column.

    Parameters
    ----------
    values
        The scores (N,).
    harder
        "higher" or "lower": which scores are harder.
    rows
        The N rows.
    """
    from prune_kit.results.ranking import last, median

    sign = 1 if harder == "higher" else -1
    hardness = values if sign > 0 else -values
    drawn = (rows.role == TRAIN) & ~np.isnan(hardness)
    finite = hardness if drawn.all() else hardness[drawn]
    ends = (finite.min(), median(finite), finite.max()) if len(finite) else (np.nan,) * 3
    easiest, middle, hardest = (sign * float(value) for value in ends)
    examples = last(hardness, rows.digest, drawn, SHOWN_EXAMPLES)[::-1]
    return ColumnSummary(easiest, middle, hardest, examples)


def write_summary(dataset: h5py.Dataset, summary: ColumnSummary) -> None:
    """Write the summary of a column into the attributes of its data set."""
    dataset.attrs["summary"] = np.array([summary.easiest, summary.median, summary.hardest])
    dataset.attrs["hardest_rows"] = summary.examples.astype(np.int64)


def read_summary(dataset: h5py.Dataset) -> ColumnSummary | None:
    """Read what `write_summary` wrote; None if an earlier version wrote the file.

    Raises
    ------
    FileError
        The attributes cannot be a summary of this data set.
    """
    if "summary" not in dataset.attrs:
        return None
    values = np.asarray(dataset.attrs["summary"])
    rows = np.asarray(dataset.attrs.get("hardest_rows"))
    in_shape = (
        values.shape == (3,)
        and values.dtype == np.float64
        and rows.ndim == 1
        and rows.dtype == np.int64
    )
    if not in_shape or not ((rows >= 0) & (rows < dataset.shape[0])).all():
        raise FileError(
            f"{dataset.file.filename} is damaged: the summary of {dataset.name} does not fit an "
            f"array of shape {dataset.shape}"
        )
    easiest, middle, hardest = values.tolist()
    return ColumnSummary(easiest, middle, hardest, rows)
