"""What a user may type after a scoring."""

from dataclasses import replace

import numpy as np
import pytest

from prune_kit.results.table import ScoreTable
from prune_kit_cli.views.next_steps import after_scores
from tests.small_tables import column_of, rows_of

ROWS = rows_of([0, 1, 0, 1, 0, 1])
SCORES = np.linspace(0, 1, 6)
SELECT = "prune-kit select --keep 0.5 --offset 0.02 --workdir w"


def table_with(*names: str, probability: bool = False) -> ScoreTable:
    extras = {"probability": np.zeros((6, 2))} if probability else {}
    columns = {}
    for name in names:
        _, _, epoch = name.partition("@")
        parameters = {"epoch": int(epoch)} if epoch else {}
        columns[name] = replace(column_of(SCORES, name=name), parameters=parameters, extras=extras)
    return ScoreTable(ROWS, columns)


def test_one_column_needs_no_name() -> None:
    assert after_scores(table_with("el2n@5"), ["el2n@5"], " --workdir w") == [SELECT]


def test_of_several_the_latest_of_the_first_method_made_is_named() -> None:
    table = table_with("random", "el2n@5", "el2n@20", "el2n@10")
    (step,) = after_scores(table, ["el2n@5", "el2n@20", "el2n@10"], "")
    assert step == "prune-kit select --by el2n@20 --keep 0.5 --offset 0.02"


def test_probabilities_lead_to_clean_too() -> None:
    steps = after_scores(table_with("cumulative_pl@5", probability=True), ["cumulative_pl@5"], "")
    assert [step.split()[1] for step in steps] == ["select", "clean"]


def test_under_planted_labels_only_clean_follows() -> None:
    planted = np.full(6, -1)
    planted[2] = 1 - ROWS.label[2]
    table = replace(table_with("cumulative_pl@5"), probe_label=planted)
    assert after_scores(table, ["cumulative_pl@5"], "") == ["prune-kit clean --auto"]


@pytest.mark.parametrize("made", [[], ["cscore"]])
def test_a_score_that_lacks_rows_leads_nowhere(made: list[str]) -> None:
    holes = np.where(np.arange(6) == 3, np.nan, SCORES)
    table = ScoreTable(ROWS, {"cscore": column_of(holes, name="cscore")})
    assert after_scores(table, made, "") == []
