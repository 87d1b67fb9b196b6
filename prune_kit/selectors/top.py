"""top: keep the hardest examples; the window without an offset."""

import numpy as np
from jaxtyping import UInt8

from prune_kit.results.table import ScoreTable
from prune_kit.selectors import reasons_of_window

OPTIONS = {"per_class": "shared"}
USES_SCORES = True


def select(
    table: ScoreTable, *, by: str | None, keep: float, per_class: bool
) -> UInt8[np.ndarray, "N"]:
    """Keep the hardest share `keep` of the training rows.

    Parameters and errors are those of `selectors.Rule`. `per_class` keeps the share of each class.
    """
    return reasons_of_window(table, by, keep, 0.0, "hard", per_class)
