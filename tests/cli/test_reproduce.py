"""Recipes, run through the command line."""

import json
from pathlib import Path

import numpy as np
import pytest

from prune_kit.experiments.recipe import load_recipe, recipe_names
from prune_kit.results.outcomes import FULL, Outcomes
from prune_kit.results.selection import Selection
from prune_kit.results.table import ScoreTable
from prune_kit_cli.main import exit_code


@pytest.mark.parametrize(
    "name",
    [
        name if name == "digits_demo" else pytest.param(name, marks=pytest.mark.slow)
        for name in recipe_names()
    ],
)
def test_a_recipe_runs_at_smoke_scale_and_says_that_its_figures_mean_nothing(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(["reproduce", name, "--scale", "smoke", "--workdir", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "they mean nothing" in printed
    folder = tmp_path / f"{name}-smoke"
    recipe = load_recipe(name)
    table = ScoreTable.read(folder / "scores.h5")
    assert {name.partition("@")[0] for name in table.columns} >= set(recipe.score["methods"])
    for column in table.columns.values():
        networks = "folds" if column.method == "cscore" else "runs"
        assert column.parameters.get(networks, 2) == 2, column.name
    if recipe.retrain:
        assert FULL in printed
        lines = Outcomes.read(folder / "outcomes.h5").summaries()
        assert FULL in [line.name for line in lines]
        assert {line.seeds for line in lines} == {2}
    else:
        assert not (folder / "outcomes.h5").exists()


@pytest.mark.slow
def test_the_demo_runs_the_whole_line_and_writes_an_index_list(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(["demo", "--json", "--quiet", "--workdir", str(tmp_path)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [line["name"] for line in told["outcomes"]] == [
        "full",
        "keep 0.5",
        "random-719",
        "keep 0.25",
        "random-360",
    ]
    rows = np.loadtxt(told["index_list"], dtype=int)
    assert rows.tolist() == Selection.read(tmp_path / "digits_demo" / "keep-0.5.h5").index.tolist()
    assert len(rows) == told["kept"] == 719
