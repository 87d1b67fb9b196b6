"""The search for a window: what it costs, what it finds, and what its test says."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prune_kit import load_data
from prune_kit.data.noise import plant
from prune_kit.data.validation import validation_split
from prune_kit.errors import DataError, OptionError, TableError
from prune_kit.pipeline import retrain, score, select, tune
from prune_kit.protocol.config import TrainConfig
from prune_kit.reporting.figures.search import draw_tuning
from prune_kit.results.outcomes import FULL, Outcome, Outcomes
from prune_kit.retraining.grid import Cell, options_of
from prune_kit.retraining.search import (
    Goal,
    candidates,
    cost_of,
    mean_accuracy,
    neighbours,
    search,
    stages_of,
)
from prune_kit.retraining.tuning import (
    FOUND,
    TOP,
    found_of,
    goal_of,
    grid_of,
    is_search,
    rounds_of,
    shortened,
    validation_of,
    with_cells,
)
from prune_kit_cli.main import exit_code
from tests.conftest import TINY, shapes_data
from tests.small_tables import column_of, table_of

OFFSETS = tuple(np.round(np.arange(0, 0.601, 0.05), 3).tolist())


def windows(keeps: Sequence[float], offsets: Sequence[float]) -> list[Cell]:
    cells = candidates(
        table_of(np.arange(100)), goal=None, by=None, keep=keeps, offset=offsets, rule="window"
    ).cells
    return cells


class Trainer:
    """Stands in for trainings: the accuracy of a cell is a function of it.

    Counts the epochs that were not cached.
    """

    def __init__(self, accuracy: Any, full: float = 0.9) -> None:
        self.accuracy, self.full = accuracy, full
        self.trained: set[tuple[str, int, int]] = set()
        self.sizes: list[int] = []

    def __call__(self, cells: Sequence[Cell], epochs: int, seeds: int) -> Outcomes:
        self.sizes.append(len(cells))
        rows = []
        for seed in range(seeds):
            rows.append(Outcome(FULL, seed, 100, self.full, 10, float(epochs), 1.0, "{}"))
            for cell in cells:
                self.trained.add((cell.name, epochs, seed))
                kept = round(100 * cell.keep)
                rows.append(
                    Outcome(
                        cell.name, seed, kept, self.accuracy(cell), 10, float(epochs), 1.0, "{}"
                    )
                )
        return with_cells(Outcomes(tuple(rows), "f" * 32, "digits"), cells, epochs)

    @property
    def epochs(self) -> int:
        return sum(epochs for _, epochs, _ in self.trained)


@pytest.mark.parametrize(
    ("text", "within"),
    [
        ("accuracy", None),
        ("Accuracy", None),
        ("within 0.5 points of full, keep least", 0.005),
        ("within 1 point of full", 0.01),
    ],
)
def test_a_goal_is_read_from_words(text: str, within: float | None) -> None:
    assert Goal.of(text).within == (None if within is None else pytest.approx(within))


@pytest.mark.parametrize(
    "text", ["", "fast", "within of full", "within 101 points of full", "within -1 points of full"]
)
def test_other_goals_are_refused_with_the_known_ones(text: str) -> None:
    with pytest.raises(OptionError, match="is unknown; expected accuracy, or"):
        Goal.of(text)


def test_one_share_asks_for_accuracy_and_several_for_the_least_data() -> None:
    table = table_of(np.arange(100))
    common: dict[str, Any] = {"goal": None, "by": None, "offset": [0.0], "rule": "window"}
    assert candidates(table, keep=0.4, **common).goal == Goal()
    assert candidates(table, keep=[0.4, 0.5], **common).goal == Goal(0.005)
    assert len(candidates(table, keep=None, **common).cells) == 8
    two = table.with_columns([column_of(np.arange(100), name="el2n@5")])
    with pytest.raises(TableError, match="which column"):
        candidates(two, keep=0.4, **common)


def test_neighbours_are_one_step_along_each_axis() -> None:
    cells = windows([0.2, 0.4, 0.6], [0.0, 0.1, 0.3])
    at = {(cell.keep, cell.offset): cell for cell in cells}
    assert {(c.keep, c.offset) for c in neighbours(at[0.4, 0.1], cells)} == {
        (0.4, 0),
        (0.4, 0.3),
        (0.2, 0.1),
        (0.6, 0.1),
    }
    assert {(c.keep, c.offset) for c in neighbours(at[0.2, 0.0], cells)} == {(0.2, 0.1), (0.4, 0.0)}


@given(peak=st.floats(0, 0.6), steep=st.floats(0.1, 3))
def test_of_a_single_peaked_curve_the_best_offset_is_found(peak: float, steep: float) -> None:
    cells = windows([0.4], OFFSETS)
    trainer = Trainer(lambda cell: 0.9 - steep * abs(cell.offset - peak) / 10)
    found, met, rounds = search(cells, Goal(), 40, 4, trainer)
    best = min(cells, key=lambda cell: abs(cell.offset - peak))
    assert met and abs(found.offset - peak) == pytest.approx(abs(best.offset - peak))
    assert [next(iter(o.cells.values()))["epochs"] for o in rounds] == [10, 20, 40]


def test_a_leader_of_short_trainings_is_left_for_better_neighbours() -> None:
    cells = windows([0.4], OFFSETS)

    class Misled(Trainer):
        def __call__(self, cells: Sequence[Cell], epochs: int, seeds: int) -> Outcomes:
            self.accuracy = lambda cell: 0.9 - abs(cell.offset - (0.25 if epochs == 40 else 0.5))
            return super().__call__(cells, epochs, seeds)

    found, _, _ = search(cells, Goal(), 40, 4, Misled(None))
    assert found.offset == 0.25


def test_where_short_trainings_favour_easy_rows_the_rule_without_an_offset_is_found_all_the_same() -> (  # noqa: E501
    None
):
    cells = windows([0.4], OFFSETS)

    class Misled(Trainer):
        def __call__(self, cells: Sequence[Cell], epochs: int, seeds: int) -> Outcomes:
            long = epochs == 40
            self.accuracy = lambda cell: (
                0.95 * (cell.offset == 0) + 0.9 * (cell.offset > 0) if long else cell.offset
            )
            return super().__call__(cells, epochs, seeds)

    assert search(cells, Goal(), 40, 2, Misled(None))[0].offset == 0


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_of_a_protocol_of_few_epochs_the_short_stages_have_fewer_seeds_alone(epochs: int) -> None:
    cells = windows([0.4], OFFSETS)
    trainer = Trainer(lambda cell: 0.9 - abs(cell.offset - 0.45))
    found, _, rounds = search(cells, Goal(), epochs, 3, trainer)
    assert stages_of(epochs, 3) == [(epochs, 1), (epochs, 2)]
    assert found.offset == 0.45 and len(rounds) == 3
    assert trainer.epochs < cost_of(cells, Goal(), epochs, 3).grid * epochs


@pytest.mark.parametrize("epochs", [4, 8, 10, 40, 200])
def test_no_stage_is_shorter_than_three_epochs_or_than_the_one_before(epochs: int) -> None:
    stages = stages_of(epochs, 4)
    assert 3 <= stages[0][0] <= stages[1][0] < epochs and [seeds for _, seeds in stages] == [1, 2]


def test_of_a_line_of_many_offsets_some_are_tried_first_and_those_beside_the_best_are_confirmed() -> (  # noqa: E501
    None
):
    cells = windows([0.4], np.round(np.arange(0, 0.6001, 0.0125), 4).tolist())
    trainer = Trainer(lambda cell: 0.9 - abs(cell.offset - 0.2625))
    found, _, rounds = search(cells, Goal(), 40, 4, trainer)
    first = sorted(cell["offset"] for cell in rounds[0].cells.values())
    assert first == pytest.approx(np.arange(0, 0.601, 0.05))
    assert found.offset == 0.2625 and found.name not in rounds[0].cells


@given(counts=st.lists(st.integers(1, 40), min_size=1, max_size=3))
def test_every_line_of_offsets_is_tried_at_both_ends(counts: list[int]) -> None:
    table = table_of(np.arange(200))
    cells = [
        cell
        for keep, count in zip((0.2, 0.3, 0.4), counts, strict=False)
        for cell in candidates(
            table, goal=None, by=None, keep=keep, offset=np.arange(count) / 100, rule="window"
        ).cells
    ]
    _, _, rounds = search(cells, Goal(), 40, 1, Trainer(lambda cell: 0.9 - cell.offset))
    if sum(counts) > 1:
        tried = rounds[0].cells.values()
        for keep, count in zip((0.2, 0.3, 0.4), counts, strict=False):
            offsets = sorted(cell["offset"] for cell in tried if cell["keep"] == keep)
            assert len(offsets) == len(set(offsets)) == min(count, 13)
            assert offsets[0] == 0 and offsets[-1] == pytest.approx((count - 1) / 100)


@given(
    floor=st.sampled_from([0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]), peak=st.sampled_from(OFFSETS[:5])
)
def test_the_least_share_that_is_close_enough_is_found(floor: float, peak: float) -> None:
    cells = windows([0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8], OFFSETS[:5])
    trainer = Trainer(lambda cell: 0.9 - max(floor - cell.keep, 0) - 0.1 * abs(cell.offset - peak))
    found, met, _ = search(cells, Goal(0.005), 40, 2, trainer)
    possible = [cell for cell in cells if trainer.accuracy(cell) >= 0.9 - 0.005]
    if not possible:  # the peak and the share do not fit into one window
        assert not met
    else:
        assert met and found.keep == min(cell.keep for cell in possible)


def test_where_no_share_is_close_enough_the_nearest_is_told_and_the_goal_is_not_met() -> None:
    found, met, _ = search(
        windows([0.2, 0.6], OFFSETS), Goal(0.005), 8, 1, Trainer(lambda cell: cell.keep / 2)
    )
    assert not met and found.keep == 0.6


@pytest.mark.parametrize("goal", [Goal(), Goal(0.01)])
@pytest.mark.parametrize("epochs", [1, 2, 8, 40])
def test_the_plan_is_what_the_search_costs(goal: Goal, epochs: int) -> None:
    cells = windows([0.3, 0.5], OFFSETS)
    trainer = Trainer(lambda cell: 0.9 - abs(cell.offset - 0.25) / 100)
    search(cells, goal, epochs, 3, trainer)
    planned = cost_of(cells, goal, epochs, 3)
    assert [stage.cells for stage in planned.short] == trainer.sizes[: len(planned.short)]
    assert [(stage.epochs, stage.seeds) for stage in planned.short] == stages_of(epochs, 3)[
        : len(planned.short)
    ]
    assert trainer.sizes[len(planned.short)] <= planned.confirmed
    assert planned.grid == 3 * (len(cells) + 2 + 1)


def test_a_search_over_a_fine_grid_costs_less_than_a_quarter_of_it_with_its_final_test() -> None:
    cells = windows([0.4], np.round(np.arange(0, 0.6001, 0.0125), 4).tolist())
    trainer = Trainer(lambda cell: 0.9 - abs(cell.offset - 0.25))
    search(cells, Goal(), 40, 4, trainer)
    planned = cost_of(cells, Goal(), 40, 4)
    assert trainer.epochs / 40 + 16 == planned.wholes < planned.grid / 4  # without a climb


def test_a_short_protocol_has_its_milestones_squeezed() -> None:
    config = TrainConfig(model="mlp", epochs=200, milestones=(60, 120, 160))
    assert shortened(config, 25).milestones == (8, 15, 20) and shortened(config, 25).epochs == 25
    assert shortened(config, 200) == config


def test_the_validation_split_is_a_stratified_part_of_the_training_rows_and_leaves_the_test_rows_alone() -> (  # noqa: E501
    None
):
    digits = load_data("digits")
    noisy = digits.relabelled(plant(digits, "flip", rate=0.25).rows.label, "planted")
    split = validation_split(noisy, 0.2, 0)
    judged = np.setdiff1d(noisy.rows.training, split.rows.training)
    assert len(judged) == len(split.test.label) and np.isin(judged, noisy.rows.training).all()
    assert np.array_equal(
        split.test.label, noisy.labels[judged]
    )  # the labels that there are, right or wrong
    assert np.array_equal(split.test.images, noisy.images[judged])
    counts = np.bincount(noisy.labels[noisy.rows.training])
    assert np.array_equal(np.bincount(split.test.label), np.round(0.2 * counts))
    assert (
        split.fingerprint == noisy.fingerprint
        and split.rows.test_fingerprint != noisy.rows.test_fingerprint
    )


@pytest.mark.parametrize("share", [0.0, 1.0, 0.0001])
def test_a_validation_split_of_nothing_or_everything_is_refused(share: float) -> None:
    with pytest.raises(DataError, match="must hold some of them, and leave some"):
        validation_split(shapes_data(), share, 0)


def test_tuning_finds_the_cell_that_the_grid_finds_and_repeats_nothing(tmp_path: Path) -> None:
    data = shapes_data()
    common: dict[str, Any] = {"config": TINY, "jobs": 1, "workdir": tmp_path}
    table = score(data, "el2n", epoch=1, runs=1, **common)
    tuned = tune(data, table, keep=0.4, offset=[0.0, 0.2, 0.4, 0.6], runs=2, **common)
    split = validation_split(data, 0.2, 1000)
    assert [row.seed for row in tuned.test.rows][:2] == [1000, 1001]
    last = tuned.rounds[-1]
    reduced = type(table)(split.rows, table.columns)
    name = tuned.cell.name
    alone = retrain(
        split, {name: select(reduced, **options_of(tuned.cell))}, runs=2, seed=2000, **common
    )
    assert last.accuracies(name) == alone.accuracies(name)
    assert mean_accuracy(last, name) == max(mean_accuracy(last, other) for other in last.cells)
    again = retrain(data, {FOUND: tuned.selection}, runs=2, **common)
    assert tuned.test.accuracies(FOUND) == again.accuracies(
        FOUND
    )  # what retrain says of it, from the same cache
    assert (TOP in {row.selection for row in tuned.test.rows}) == (tuned.cell.offset > 0)
    folders = sorted(path.name for path in (tmp_path / "runs").iterdir())
    repeated = tune(data, table, keep=0.4, offset=[0.0, 0.2, 0.4, 0.6], runs=2, **common)
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == folders
    assert repeated.cell == tuned.cell and repeated.test.rows == tuned.test.rows


def test_a_search_survives_its_file(tmp_path: Path) -> None:
    data = shapes_data()
    common: dict[str, Any] = {"config": TINY, "jobs": 1, "workdir": tmp_path}
    table = score(data, "el2n", epoch=1, runs=1, **common)
    tuned = tune(
        data,
        table,
        goal="within 30 points of full",
        keep=[0.3, 0.6],
        offset=[0.0, 0.2],
        runs=1,
        **common,
    )
    tuned.validation().write(tmp_path / "tune.h5")
    read = Outcomes.read(tmp_path / "tune.h5")
    assert is_search(read) and not is_search(tuned.test)
    for kept in rounds_of(read):
        epochs = next(iter(kept.cells.values()))["epochs"]  # stages of as many epochs become one
        made = [o for o in tuned.rounds if next(iter(o.cells.values()))["epochs"] == epochs]
        cells = {
            name: {
                k: v
                for k, v in cell.items()
                if k not in ("found", "goal", "met", "grid", "validation")
            }
            for name, cell in kept.cells.items()
        }
        assert cells == {name: cell for o in made for name, cell in o.cells.items()}
        assert set(kept.rows) == {row for o in made for row in o.rows}
    assert found_of(rounds_of(read)) == tuned.cell.name
    assert goal_of(rounds_of(read)) == (Goal(0.3), tuned.met)
    assert validation_of(rounds_of(read)) == tuned.share == 0.2
    assert grid_of(rounds_of(read)) == {
        "by": ["el2n@1"],
        "rule": ["window"],
        "keep": [0.3, 0.6],
        "offset": [0.0, 0.2],
    }
    assert draw_tuning(tuned, tmp_path / "tune.png").read_bytes().startswith(b"\x89PNG")


def test_the_command_says_its_cost_first_and_writes_a_selection(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = ["--train", "epochs=2", "--train", "model=mlp", "--workdir", str(tmp_path)]
    assert exit_code(["score", "--epoch", "1", "--runs", "1", "--quiet", *short]) == 0
    capsys.readouterr()
    assert exit_code(["tune", "--keep", "0.4", "--offset", "0,0.2", "--runs", "1", *short]) == 0
    out, err = capsys.readouterr()
    assert "cost      up to 8 trainings" in err and err.index("cost ") < err.index("network 1 of")
    assert (
        "search    2 candidates for 2 epochs\n" in err and "found     window el2n@1 keep 0.4" in err
    )
    assert "replaces" not in err
    assert "found: window el2n@1 keep 0.4 offset" in out and "over 1 seed" in out
    assert "all rows" not in out  # accuracy as the goal needs no network on all rows
    for name in ("selection.h5", "tune.h5", "outcomes.h5", "tune.png"):
        assert (tmp_path / name).is_file() and name in err
    assert exit_code(["tune", "--keep", "0.4", "--offset", "0,0.2", "--runs", "1", *short]) == 0
    assert "selection.h5, which holds: kept " in capsys.readouterr().err.replace("\n", " ")
    assert exit_code(["info", str(tmp_path / "tune.h5")]) == 0
    assert "on a validation split, not on the test set" in capsys.readouterr().out


def test_a_goal_that_full_data_set_shows_what_they_reach(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = ["--train", "epochs=2", "--train", "model=mlp", "--workdir", str(tmp_path)]
    assert exit_code(["score", "--epoch", "1", "--runs", "1", "--quiet", *short]) == 0
    goal = [
        "--goal",
        "within 50 points of full",
        "--keep",
        "0.3,0.5",
        "--offset",
        "0",
        "--runs",
        "1",
    ]
    assert exit_code(["tune", *goal, *short]) == 0
    told = [line.split() for line in capsys.readouterr().out.splitlines() if " all rows " in line]
    assert [(line[0], line[4]) for line in told] == [
        ("2", "1")
    ] * 3  # two epochs have no shorter stage
    assert exit_code(["info", "--json", str(tmp_path / "tune.h5")]) == 0
    full = json.loads(capsys.readouterr().out)["full"]
    assert f"{100 * full[-1]:.2f}" == told[-1][5]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--runs", "0"], "--runs 0 is out of range"),
        (["--validation", "0.99"], "--validation 0.99 is out of range; above 0 and at most 0.5"),
        (["--validation", "0"], "--validation 0 is out of range"),
        (["--keep", "0"], "--keep 0 is out of range"),
        (["--rule", "nonsense"], "unknown rule 'nonsense'"),
    ],
)
def test_wrong_words_are_told_before_anything_else(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table_of(list(range(20))).write(tmp_path / "scores.h5")
    assert exit_code(["tune", *words, "--workdir", str(tmp_path)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and message in err and len(err.strip().splitlines()) == 1


@pytest.mark.slow
def test_on_digits_with_a_quarter_flipped_the_best_offset_is_found_at_under_a_quarter_of_the_price(
    tmp_path: Path,
) -> None:
    digits = load_data("digits")
    data = digits.relabelled(plant(digits, "flip", rate=0.25).rows.label, "planted")
    config = TrainConfig(
        model="mlp", epochs=10, batch_size=64, learning_rate=0.05, schedule="cosine"
    )
    common: dict[str, Any] = {"config": config, "workdir": tmp_path}
    table = score(data, "cumulative_pl", epoch=10, runs=2, **common)
    offsets = np.round(np.arange(0, 0.6001, 0.0125), 4).tolist()
    tuned = tune(data, table, keep=0.4, offset=offsets, **common)
    split = validation_split(data, 0.2, 1000)
    reduced = type(table)(split.rows, table.columns)
    cells = windows_of(table, offsets)
    grid = retrain(
        split,
        {c.name: select(reduced, **options_of(c)) for c in cells},
        seed=2000,
        baseline=[],
        **common,
    )
    best = max(cells, key=lambda cell: mean_accuracy(grid, cell.name))
    spent = sum(row.steps for o in (*tuned.rounds, tuned.test) for row in o.rows)
    assert abs(tuned.cell.offset - best.offset) <= 0.05
    assert spent < (sum(row.steps for row in grid.rows) + 8 * tuned.test.rows[0].steps) / 4


def windows_of(table: Any, offsets: Sequence[float]) -> list[Cell]:
    return candidates(table, goal=None, by=None, keep=0.4, offset=offsets, rule="window").cells
