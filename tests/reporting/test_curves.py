"""The learning curves, the sweep and the search for a window, as sections of a report."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from prune_kit.data.dataset import Dataset
from prune_kit.pipeline import report, score
from prune_kit.reporting.curves import learning_section
from prune_kit.reporting.figures.search import fill_panel
from prune_kit.reporting.proofs import search_section, sweep_section
from prune_kit.reporting.provenance import provenance_section
from prune_kit.results.outcomes import Outcome, Outcomes
from prune_kit.results.table import ScoreTable
from prune_kit.retraining.search import Goal, candidates
from prune_kit.retraining.tuning import Tuning, with_cells
from tests.conftest import TINY, shapes_data
from tests.small_tables import selection_of, table_of


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, ScoreTable, Path]:
    folder, data = tmp_path_factory.mktemp("scored"), shapes_data()
    table = score(
        data,
        ["cumulative_pl", "el2n"],
        epoch=3,
        runs=2,
        config=TINY,
        jobs=1,
        probes=0.1,
        workdir=folder,
    )
    return data, table, folder / "runs"


def test_learning_curves_are_the_mean_correctness_of_fifths_by_rank(scored: Any) -> None:
    data, table, runs = scored
    section = learning_section(data, table, runs)
    assert section is not None and section.anchor == "learning"
    correct = np.mean(
        [
            [np.load(run / f"minibatch-{epoch:04}.npz")["correct"] for epoch in (1, 2, 3)]
            for run in runs.iterdir()
            if run.is_dir()
        ],
        axis=0,
    )
    hardness = table.hardness("cumulative_pl@3")
    order = sorted(
        table.rows.training, key=lambda row: (hardness[row], table.rows.digest[row], row)
    )
    lines = section.blocks[1].rows  # type: ignore[union-attr]
    for epoch in range(3):
        expected = [
            f"{100 * correct[epoch, group].mean():.1f} %" for group in np.array_split(order, 5)
        ]
        assert list(lines[epoch]) == [str(epoch + 1), *expected]


def test_without_the_runs_there_are_no_learning_curves(scored: Any, tmp_path: Path) -> None:
    data, table, runs = scored
    assert learning_section(data, table, tmp_path) is None
    assert learning_section(data, ScoreTable(table.rows, {}), runs) is None
    page = report(data, table=table, runs=tmp_path)
    assert "Learning curves" not in page and "Learning curves" in report(
        data, table=table, runs=runs
    )


def outcomes_of(cells: Any, epochs: int, seeds: int) -> Outcomes:
    rows = [
        Outcome(
            cell.name,
            seed,
            round(100 * cell.keep),
            0.9 - abs(cell.offset - 0.2) - seed / 100,
            10,
            float(epochs),
            1.0,
            "{}",
        )
        for cell in cells
        for seed in range(seeds)
    ]
    return with_cells(Outcomes(tuple(rows), "f" * 32, "digits"), cells, epochs)


def test_a_search_is_shown_round_by_round_with_what_was_chosen() -> None:
    table = table_of(np.arange(100))
    cells = candidates(
        table, goal=None, by=None, keep=0.4, offset=[0.0, 0.1, 0.2, 0.3], rule="window"
    ).cells
    rounds = (outcomes_of(cells, 5, 1), outcomes_of(cells[1:], 40, 2))
    tuned = Tuning(
        Goal(), tuple(cells), cells[2], True, selection_of([0] * 100), rounds, rounds[-1]
    )
    section = search_section(tuned.validation())
    picture, lines = section.blocks[0], section.blocks[1].rows  # type: ignore[union-attr]
    chosen = (
        "Of 4 candidates, window el2n@20 keep 0.4 offset 0.2 was chosen: 89.50 % on the validation "
        "split"
    )
    assert picture.title == chosen  # type: ignore[union-attr]
    assert [line[0] for line in lines] == ["40"] * 3 + ["5"] * 4
    assert lines[0] == ("40", "window el2n@20 keep 0.4 offset 0.2", "2", "89.50 %")
    assert lines[3] == ("5", "window el2n@20 keep 0.4 offset 0.2", "1", "90.00 %")
    assert picture.draw("png").startswith(b"\x89PNG")  # type: ignore[union-attr]
    assert section.blocks[2].text.startswith("Sought: the highest accuracy. The test set")  # type: ignore[union-attr]


def test_a_goal_that_none_meets_is_told_with_what_all_rows_reach() -> None:
    cells = candidates(
        table_of(np.arange(100)), goal=None, by=None, keep=0.4, offset=[0.0], rule="window"
    ).cells
    last = outcomes_of(cells, 40, 2)
    last = replace(
        last,
        rows=(*last.rows, *(Outcome("full", s, 100, 0.95, 10, 40.0, 1.0, "{}") for s in range(2))),
    )
    outcomes = Tuning(
        Goal(0.01), tuple(cells), cells[0], False, selection_of([0] * 100), (last,), last
    ).validation()
    section = search_section(outcomes)
    assert "comes nearest to the goal, which none meets" in section.blocks[0].title  # type: ignore[union-attr]
    assert section.blocks[1].rows[0] == ("40", "full", "2", "95.00 %")  # type: ignore[union-attr]
    assert "Sought: the least data within 1 points of full." in section.blocks[2].text  # type: ignore[union-attr]
    data = shapes_data()
    commands = provenance_section(data, {"search": outcomes}, {}).blocks[-1].lines  # type: ignore[union-attr]
    assert "--keep 0.4 --offset 0 --goal" in commands[0]
    assert "--goal 'within 1 points of full, keep least'" in commands[0] and Goal.of(
        Goal(0.01).words
    ) == Goal(0.01)


def test_the_line_of_a_round_is_broken_where_it_left_out_offsets() -> None:
    table = table_of(np.arange(100))
    cells = candidates(
        table, goal=None, by=None, keep=0.4, offset=[0.0, 0.1, 0.2, 0.3], rule="window"
    ).cells
    rounds = (outcomes_of(cells, 5, 1), outcomes_of([cells[0], *cells[2:]], 40, 2))
    axes = Figure().subplots()
    fill_panel(axes, rounds, cells[2].name)
    short, long = (np.asarray(line.get_xdata(), dtype=float) for line in axes.lines[:2])
    assert short.tolist() == [0, 10, 20, 30]
    assert np.array_equal(long, [0, np.nan, 20, 30], equal_nan=True)


def test_a_sweep_is_shown_with_its_curves() -> None:
    table = table_of(np.arange(100))
    cells = candidates(
        table, goal=None, by=None, keep=[0.4, 0.5], offset=[0.0, 0.1], rule="window"
    ).cells
    kept = {cell.name: {k: v for k, v in vars(cell).items() if k != "name"} for cell in cells}
    outcomes = replace(outcomes_of(cells, 40, 2), cells=kept)
    full = tuple(Outcome("full", seed, 100, 0.9, 10, 1.0, 1.0, "{}") for seed in range(2))
    section = sweep_section(replace(outcomes, rows=(*full, *outcomes.rows)))
    names = [block.name for block in section.blocks if hasattr(block, "draw")]
    assert names == ["sweep", "sweep-pruned", "sweep-offset"]
