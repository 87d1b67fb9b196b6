"""Recipes, run through the command line."""

import json
from pathlib import Path

import numpy as np
import pytest

from prune_kit.experiments.recipe import recipe_names
from prune_kit.results.selection import Selection
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
    printed = capsys.readouterr()
    assert "they mean nothing" in printed.out
    assert "full" in printed.out
    assert "2 seeds" in printed.out
    folder = tmp_path / f"{name}-smoke"
    assert (folder / "scores.h5").is_file()
    assert (folder / "outcomes.h5").is_file()


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
