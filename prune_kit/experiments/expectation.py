"""What a paper claims, and the one comparison that checks it against outcomes and scores."""

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from prune_kit import registry
from prune_kit.errors import RecipeError
from prune_kit.results.outcomes import RANDOM, Outcomes
from prune_kit.results.table import ScoreTable

CHECK = re.compile(
    r"(?P<left>.+?)(?: - (?P<minus>.+?))? (?P<sign>>=|<=|>|<) (?P<bound>[-+]?\d+(?:\.\d+)?)"
)
RANKS = re.compile(r"spearman\((?P<first>[^,]+), *(?P<second>[^)]+)\)")
SIGNS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}


@dataclass(frozen=True)
class Expectation:
    """A claim of a paper.

    Attributes
    ----------
    claim
        What the paper says.
    where
        Where it says so.
    check
        One comparison: `NAME >= 90` (test accuracy in percent), `NAME - full > -1` or `NAME -
        random > 0` (points, against the random subset of the same size), `NAME - NAME > 0`, or
        `spearman(el2n@20, grand@20) >= 0.9`.
    measured
        What we measured, when and on what machine. Empty if nobody did yet.
    """

    claim: str
    where: str
    check: str
    measured: str = ""


def refuse_unknown(path: Path, check: str, names: set[str]) -> None:
    """Check that a check is a comparison of what is trained, before anything is trained.

    Parameters
    ----------
    path
        The recipe, for messages.
    check
        The comparison, see `Expectation`.
    names
        What is trained besides random subsets.

    Raises
    ------
    RecipeError
    """
    match = CHECK.fullmatch(check)
    if not match:
        raise RecipeError(
            f"{path}: check {check!r} is no comparison such as 'selection - random > 0'"
        )
    if not RANKS.fullmatch(match["left"]):
        for name in filter(None, (match["left"], match["minus"])):
            if name not in names and not name.startswith(RANDOM):
                raise registry.unknown_name_error(
                    f"outcome in the check {check!r},", name, sorted(names), RecipeError
                )


def check_claim(
    expectation: Expectation, table: ScoreTable, outcomes: Outcomes
) -> tuple[Expectation, float, bool]:
    """The expectation, the value that was measured for its check, and whether the check holds.

    Parameters
    ----------
    expectation
        The claim, with a check that `refuse_unknown` has accepted.
    table
        The score table. A check of a rank correlation reads its columns.
    outcomes
        The outcomes of retraining. Every other check reads its accuracies.

    Raises
    ------
    RecipeError
        If the check speaks of what was not trained.
    TableError
        If the check speaks of a column that the table does not have.
    """
    match = CHECK.fullmatch(expectation.check)
    assert match is not None
    value = _measure(match["left"], match["minus"], table, outcomes)
    return expectation, value, SIGNS[match["sign"]](value, float(match["bound"]))


def _measure(left: str, minus: str | None, table: ScoreTable, outcomes: Outcomes) -> float:
    """The left side of a check: a rank correlation, an accuracy in percent, or points between."""
    ranks = RANKS.fullmatch(left)
    if ranks:
        from scipy.stats import spearmanr

        rows = table.rows.training
        hardness = np.stack(
            [table.hardness(ranks[name].strip())[rows] for name in ("first", "second")]
        )
        return float(spearmanr(*hardness[:, np.isfinite(hardness).all(axis=0)]).statistic)
    lines = {line.name: line for line in outcomes.summaries()}
    if left not in lines:
        raise registry.unknown_name_error("outcome", left, lines, RecipeError)
    if minus is None:
        return 100 * lines[left].mean
    difference = lines[left].minus_random if minus == RANDOM else outcomes.difference(left, minus)
    if difference is None:
        raise RecipeError(
            f"a check compares {left!r} with {minus!r}, which was not trained on the same seeds"
        )
    return float(np.round(100 * difference.mean, 9))
