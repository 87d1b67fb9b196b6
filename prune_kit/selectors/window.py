"""window: skip the hardest (or the easiest) share, keep the next; the sliding window of Data Diet.

Paper: Paul, Ganguli, Dziugaite 2021, https://arxiv.org/abs/2107.07075, section 3 and appendix B.3.
"""

import numpy as np
from jaxtyping import UInt8

from prune_kit.results.table import ScoreTable
from prune_kit.selectors import reasons_of_window

OPTIONS = ("keep", "offset", "offset_from", "per_class")
USES_SCORES = True


def select(
    table: ScoreTable,
    *,
    by: str | None,
    keep: float,
    offset: float = 0.0,
    offset_from: str = "hard",
    per_class: bool = False,
) -> UInt8[np.ndarray, "N"]:
    """Keep a share `keep` of the training rows, next to a share `offset` skipped at one end of the ranking.

    Raises OptionError for shares out of range, TableError for a column that is not there.
    """
    return reasons_of_window(table, by, keep, offset, offset_from, per_class)
