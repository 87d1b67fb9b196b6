"""A grid of selections: its cells, its trainings, its pictures."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prune_kit.errors import OptionError, TableError
from prune_kit.pipeline import score, select, sweep
from prune_kit.progress import Progress
from prune_kit.reporting.figures.sweep import draw_sweep
from prune_kit.results.outcomes import Outcome, Outcomes, random_name
from prune_kit.retraining.grid import Cell, Sweep, band, grid, options_of
from prune_kit_cli.main import exit_code
from tests.conftest import TINY, shapes_data
from tests.small_tables import column_of, table_of


def two_columns() -> Any:
    return table_of(np.arange(100)).with_columns([column_of(np.arange(100)[::-1], name="el2n@5")])


def test_a_grid_is_every_column_share_and_offset() -> None:
    cells, left_out = grid(two_columns(), ["el2n@20", "el2n@5"], ["window"], [0.5, 0.9], [0.0, 0.2])
    assert {(cell.by, cell.keep, cell.offset) for cell in cells} == {
        ("el2n@20", 0.5, 0.0), ("el2n@20", 0.5, 0.2), ("el2n@20", 0.9, 0.0),
        ("el2n@5", 0.5, 0.0), ("el2n@5", 0.5, 0.2), ("el2n@5", 0.9, 0.0),
    }  # fmt: skip
    assert left_out == 2 and len({cell.name for cell in cells}) == len(cells)


def test_a_rule_without_an_offset_has_one_cell_for_each_share() -> None:
    cells, _ = grid(two_columns(), ["el2n@5"], ["top", "window"], [0.5], [0.0, 0.1])
    assert [cell.name for cell in cells] == [
        "top el2n@5 keep 0.5",
        "window el2n@5 keep 0.5 offset 0",
        "window el2n@5 keep 0.5 offset 0.1",
    ]
    assert options_of(cells[0]) == {"rule": "top", "by": "el2n@5", "keep": 0.5}
    assert (cells[0].method, cells[0].epoch) == ("el2n", 5)


def test_random_among_the_columns_is_the_baseline_and_no_cell() -> None:
    cells, _ = grid(two_columns(), ["el2n@5", "random"], ["window"], [0.5], [0.0])
    assert [cell.by for cell in cells] == ["el2n@5"]
    with pytest.raises(OptionError, match="the grid has no cell: random rows are trained anyhow"):
        grid(two_columns(), ["random"], ["window"], [0.5], [0.0])
    with pytest.raises(
        OptionError,
        match=r"the least of `keep`, 0\.4, and the least of `offset`, 0\.7, make more than 1",
    ):
        grid(two_columns(), ["el2n@5"], ["window"], [0.5, 0.4], [0.7, 0.9])
    with pytest.raises(TableError, match="unknown column 'aum@3'"):
        grid(two_columns(), ["aum@3"], ["window"], [0.5], [0.0])


@pytest.mark.parametrize(
    ("rule", "keep", "message"),
    [("nonsense", 0.5, "unknown rule 'nonsense'"), ("window", 0.0, "keep=0 is out of range"),
     ("top", 1.5, "keep=1.5 is out of range")],
)  # fmt: skip
def test_a_grid_that_cannot_be_selected_is_refused_before_anything_is_trained(
    rule: str, keep: float, message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        grid(two_columns(), ["el2n@5"], ["window", rule], [0.5, keep], [0.0])


@pytest.mark.parametrize("values", [[0.5], [0.2, 0.9], [0.9, 0.91, 0.95, 0.99]])
def test_bands_are_numpys_percentiles(values: list[float]) -> None:
    expected = (np.mean(values), np.percentile(values, 16), np.percentile(values, 84))
    assert band(np.array(values)) == pytest.approx(expected)


def swept(cells: list[Cell], accuracy: Any) -> Sweep:
    rows = []
    for seed in (1000, 1001):
        rows.append(Outcome("full", seed, 100, 0.9 + seed % 2 / 100, 10, 1.0, 1.0, "{}"))
        for cell in cells:
            kept = round(100 * cell.keep)
            rows.append(Outcome(cell.name, seed, kept, accuracy(cell), 10, 1.0, 1.0, "{}"))
            rows.append(Outcome(random_name(kept), seed, kept, 0.8, 10, 1.0, 1.0, "{}"))
    return Sweep.joined(Outcomes(tuple(rows), "f" * 32, "digits"), cells)


def test_a_sweep_survives_its_file(tmp_path: Path) -> None:
    cells, _ = grid(two_columns(), ["el2n@20", "el2n@5"], ["window"], [0.5, 0.8], [0.0, 0.1])
    found = swept(cells, lambda cell: cell.keep)
    found.outcomes.write(tmp_path / "sweep.h5")
    again = Sweep.of(Outcomes.read(tmp_path / "sweep.h5"))
    assert again.cells == found.cells and again.outcomes.rows == found.outcomes.rows
    assert again.accuracies(cells[0].name).tolist() == [0.5, 0.5] and again.full().tolist() == [
        0.9,
        0.91,
    ]
    assert again.rows() == 100 and again.random(50).tolist() == [0.8, 0.8]


def test_outcomes_of_a_retraining_are_no_sweep() -> None:
    with pytest.raises(OptionError, match="run prune-kit sweep"):
        Sweep.of(Outcomes((), "f" * 32, "digits"))


def test_only_what_has_two_points_is_drawn(tmp_path: Path) -> None:
    cells, _ = grid(two_columns(), ["el2n@20", "el2n@5"], ["window"], [0.5, 0.8], [0.0, 0.1])
    drawn = draw_sweep(swept(cells, lambda cell: 0.9 - cell.offset), tmp_path)
    assert [path.name for path in drawn] == [
        "sweep-pruned.png",
        "sweep-epoch.png",
        "sweep-offset.png",
    ]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn)
    one, _ = grid(two_columns(), ["el2n@20"], ["top"], [0.5, 0.8], [0.0])
    assert [path.name for path in draw_sweep(swept(one, lambda cell: 0.5), tmp_path)] == [
        "sweep-pruned.png"
    ]
    assert draw_sweep(swept(one[:1], lambda cell: 0.5), tmp_path) == []


def trained(heard: list[Progress]) -> int:
    return sum(
        step.networks for step in heard if step.done == step.total and "network" in step.what
    )


def test_a_sweep_equals_retraining_each_cell_and_a_wider_one_trains_the_new_cells_alone(
    tmp_path: Path,
) -> None:
    data = shapes_data()
    common: dict[str, Any] = {"config": TINY, "jobs": 1, "workdir": tmp_path}
    table = score(data, "el2n", epoch=1, runs=1, **common)
    small = sweep(data, table, by="el2n@1", keep=[0.5], offset=[0.0], runs=1, **common)
    heard: list[Progress] = []
    wide = sweep(
        data,
        table,
        by="el2n@1",
        keep=[0.5],
        offset=[0.0, 0.2],
        runs=1,
        progress=heard.append,
        **common,
    )
    name = "window el2n@1 keep 0.5 offset 0"
    assert wide.accuracies(name).tolist() == small.accuracies(name).tolist()
    assert wide.full().tolist() == small.full().tolist()
    folders = sorted(path.name for path in (tmp_path / "runs").iterdir())
    sweep(data, table, by="el2n@1", keep=[0.5], offset=[0.0, 0.2], runs=1, **common)
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == folders
    assert len(folders) == 1 + 4  # the scored one; full, random, and two cells
    assert wide.kept(name) == len(select(table, keep=0.5).index)


def test_the_command_prints_a_table_and_writes_pictures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = ["--train", "epochs=2", "--runs", "1", "--workdir", str(tmp_path)]
    assert exit_code(["score", "--epoch", "1", "--quiet", *short]) == 0
    capsys.readouterr()
    assert exit_code(["sweep", "--keep", "0.2,0.4", "--train", "model=mlp", *short]) == 0
    out, err = capsys.readouterr()
    assert "random-288" in out and "el2n@1" in out and "at most 5 networks" in err
    assert (tmp_path / "sweep-pruned.png").exists() and "sweep.h5" in err
    for words, message in (
        (["--keep", "0.5,x"], "--keep 0.5,x is no list of numbers"),
        (["--keep", "1.5"], "--keep 1.5 is out of range"),
        (["--offset", ","], "--offset names nothing"),
        (["--by", "aum@3"], "unknown column 'aum@3'"),
        (["--rule", "windw"], "unknown rule 'windw'"),
    ):
        assert exit_code(["sweep", *words, *short]) == 2
        assert message in capsys.readouterr().err
