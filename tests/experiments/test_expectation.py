"""A paper's claim is checked by outcomes and scores."""

import numpy as np
import pytest

from prune_kit.errors import RecipeError, TableError
from prune_kit.experiments.expectation import Expectation, check_claim
from prune_kit.results.outcomes import Outcome, Outcomes
from tests.small_tables import column_of, table_of


@pytest.fixture
def checked():
    """Checks a claim by outcomes of two seeds, and by a table of four rows, the last held out."""
    accuracy = {
        "full": [0.95, 0.97],
        "half": [0.94, 0.94],
        "random-50": [0.90, 0.92],
        "random-25": [0.5, 0.5],
    }
    kept = {"full": 100, "half": 50, "random-50": 50, "random-25": 25}
    outcomes = Outcomes(
        tuple(
            Outcome(n, s, kept[n], v, 1, 1.0, 1.0, "{}")
            for n, vs in accuracy.items()
            for s, v in enumerate(vs)
        ),
        "abc",
        "digits",
    )
    table = table_of([1, 2, 3, 9], role=[0, 0, 0, 1]).with_columns(
        [
            column_of([3, 2, 1, 9], name="aum@20", harder="lower"),
            column_of([1, 3, 2, np.nan], name="grand@20"),
        ]
    )

    def checked(check):
        expectation, value, holds = check_claim(Expectation("", "", check), table, outcomes)
        assert expectation.check == check
        return value, holds

    return checked


@pytest.mark.parametrize(("check", "value", "holds"), [
    ("full >= 96", 96, True), ("full > 96.5", 96, False), ("full <= 95.9", 96, False),
    ("full < 97", 96, True),
    ("half - full > -2.5", -2, True), ("half - full > -1.5", -2, False),
    ("half - full >= -2", -2, True),
    ("half - random > 2.0", 3, True), ("half - random < +3.5", 3, True),
    ("half - random-50 >= 3", 3, True), ("half - random-25 > 40", 44, True),
    ("random-50 - half < 0", -3, True),
    ("spearman(el2n@20, aum@20) >= 1", 1, True), ("spearman(el2n@20,grand@20) > 0.6", 0.5, False),
])  # fmt: skip
def test_a_check_measures_an_accuracy_a_difference_or_a_rank_correlation(
    checked, check, value, holds
):
    assert checked(check) == (pytest.approx(value), holds)


def test_a_check_of_what_is_not_there_says_so(checked):
    with pytest.raises(
        RecipeError, match=r"unknown outcome 'nobody'. There are: full, half, random-50, random-25"
    ):
        checked("nobody > 3")
    with pytest.raises(
        RecipeError, match="compares 'half' with 'nobody', which was not trained on the same seeds"
    ):
        checked("half - nobody > 3")
    with pytest.raises(TableError, match="unknown column 'el2n@21'"):
        checked("spearman(el2n@21, aum@20) > 0")
