"""random: keep a random share; the baseline for every other rule."""

import numpy as np
from jaxtyping import Int, UInt8

from prune_kit.results.selection import DROPPED_OTHER, KEPT
from prune_kit.results.table import ScoreTable
from prune_kit.selectors import count_kept, fill_reasons

OPTIONS = {"per_class": "shared", "seed": "shared"}
USES_SCORES = False


def select(
    table: ScoreTable, *, by: str | None, keep: float, per_class: bool, seed: int
) -> UInt8[np.ndarray, "N"]:
    """Keep a share `keep` of the training rows, drawn without replacement from the seed.

    Parameters and errors are those of `selectors.Rule`. `per_class` draws the share of each class.
    """
    rng = np.random.default_rng([seed, 2])

    def fill(reasons: np.ndarray, part: Int[np.ndarray, "n"], of: str) -> None:
        reasons[part] = DROPPED_OTHER
        reasons[random_part(part, count_kept(keep, len(part), of), rng)] = KEPT

    return fill_reasons(table, table.rows.training, per_class, fill)


def random_part(
    rows: Int[np.ndarray, "n"], count: int, rng: np.random.Generator
) -> Int[np.ndarray, "K"]:
    """`count` of the rows, drawn without replacement, ascending.

    Parameters
    ----------
    rows
        The row numbers (n,), each once.
    count
        How many are drawn, K, at most n.
    rng
        The generator that draws.
    """
    return np.sort(rng.choice(rows, size=count, replace=False))
