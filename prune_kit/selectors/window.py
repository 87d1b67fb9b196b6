"""window: skip the hardest (or the easiest) share, keep the next; Data Diet's sliding window.

Paper: Paul, Ganguli, Dziugaite 2021, https://arxiv.org/abs/2107.07075, section 3 and appendix B.3.
"""

import numpy as np
from jaxtyping import UInt8

from prune_kit.results.table import ScoreTable
from prune_kit.selectors import reasons_of_window

OPTIONS = {
    "offset": "shared",
    "offset_from": {
        "type": "str",
        "default": "hard",
        "choices": ("hard", "easy"),
        "help": "The end that is skipped.",
    },
    "per_class": "shared",
}
USES_SCORES = True


def select(
    table: ScoreTable,
    *,
    by: str | None,
    keep: float,
    offset: float,
    offset_from: str,
    per_class: bool,
) -> UInt8[np.ndarray, "N"]:
    """Keep a share of the training rows, next to a share that is skipped at one end of the ranking.

    Parameters
    ----------
    table, by, keep
        As `selectors.Rule`.
    offset
        The share to skip; keep + offset must be at most 1.
    offset_from
        The end to skip at: "hard" or "easy".
    per_class
        Whether there is a window for each class.

    Raises
    ------
    OptionError
        If a share is out of range.
    TableError
        If the table has no such column.
    """
    return reasons_of_window(table, by, keep, offset, offset_from, per_class)
