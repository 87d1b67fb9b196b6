"""top: keep the hardest examples; the window without an offset."""

import numpy as np
from jaxtyping import UInt8

from prune_kit.results.table import ScoreTable
from prune_kit.selectors import reasons_of_window

OPTIONS = ("keep", "per_class")
USES_SCORES = True


def select(
    table: ScoreTable, *, by: str | None, keep: float, per_class: bool = False
) -> UInt8[np.ndarray, "N"]:
    """Keep the share `keep` of the training rows that is hardest. Raises OptionError, TableError."""
    return reasons_of_window(table, by, keep, 0.0, "hard", per_class)
