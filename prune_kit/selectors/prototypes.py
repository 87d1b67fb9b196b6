"""prototypes: keep the examples farthest from the prototypes, or the nearest ones; meant for prototype_distance.

Paper: Sorscher, Geirhos, Shekhar, Ganguli, Morcos 2022, https://arxiv.org/abs/2206.14486: where
there is much data keep the hardest, where there is little the easiest.
"""

import numpy as np
from jaxtyping import UInt8

from prune_kit.results.table import ScoreTable
from prune_kit.selectors import reasons_of_window

OPTIONS = ("keep", "keep_easy", "per_class")
USES_SCORES = True


def select(
    table: ScoreTable,
    *,
    by: str | None,
    keep: float,
    keep_easy: bool = False,
    per_class: bool = False,
) -> UInt8[np.ndarray, "N"]:
    """Keep the share `keep` of the training rows that is hardest, or with `keep_easy` the easiest.

    The paper does not say how many rows are many; compare both by retraining. Raises OptionError,
    TableError.
    """
    return reasons_of_window(table, by, keep, 0.0, "easy" if keep_easy else "hard", per_class)
