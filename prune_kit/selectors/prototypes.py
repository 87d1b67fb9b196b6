"""prototypes: keep the examples farthest from the prototypes, or the nearest.

Paper: Sorscher, Geirhos, Shekhar, Ganguli, Morcos 2022, https://arxiv.org/abs/2206.14486: where
there is much data keep the hardest, where there is little the easiest. Meant for
prototype_distance.
"""

import numpy as np
from jaxtyping import UInt8

from prune_kit.results.table import ScoreTable
from prune_kit.selectors import reasons_of_window

OPTIONS = {
    "keep_easy": {
        "type": "bool",
        "default": False,
        "help": "Keep the easiest, for little data, and not the hardest.",
    },
    "per_class": "shared",
}
USES_SCORES = True


def select(
    table: ScoreTable, *, by: str | None, keep: float, keep_easy: bool, per_class: bool
) -> UInt8[np.ndarray, "N"]:
    """Keep the hardest share `keep` of the training rows, or with `keep_easy` the easiest.

    The paper does not say how many rows are many: compare both by retraining. Parameters and errors
    are those of `selectors.Rule`.
    """
    return reasons_of_window(table, by, keep, 0.0, "easy" if keep_easy else "hard", per_class)
